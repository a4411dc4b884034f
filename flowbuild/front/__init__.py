"""People and programs: the command line, the console, and later the debugger, HTTP and the web page."""

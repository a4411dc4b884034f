"""The version of flowbuild. Read by the packaging, the command line and the null table."""

__version__ = "0.1.0"

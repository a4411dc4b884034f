"""Text to targets: the workspace, strict YAML, rules, packages. Nothing here runs, and nothing knows of states."""

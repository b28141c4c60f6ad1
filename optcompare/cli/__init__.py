"""The command line, a module for each group of commands: the only place that prints and chooses exit codes."""

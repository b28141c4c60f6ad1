"""The command line, a module for each group of commands. Only here are texts printed and exit codes chosen."""

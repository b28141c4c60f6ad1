"""Declare the hooks that plugins implement, load plugins, and look up what they register."""

"""Finds plugins, and declares the hooks that plugins implement."""

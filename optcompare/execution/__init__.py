"""Runs trials in this process, in workers or on other machines, with progress, trackers and interrupts."""

"""Execution of trials in this process, in workers or on other machines, with progress and trackers."""

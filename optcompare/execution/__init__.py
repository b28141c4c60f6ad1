"""Trials are trained: in this process or elsewhere, watched, tracked, interrupted, kept."""

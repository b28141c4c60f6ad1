"""From names, specs and objects to a comparison that can be trained: resolved, tried on a few rows,
estimated.
"""

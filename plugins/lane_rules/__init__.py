"""Bundled lane rules: the updates of optimizers as pure functions of one lane.

Each computes what its optimizer computes for one weight, in the same order of operations.
"""

"""Trains many trials side by side as one vectorized program, checked against the loop."""

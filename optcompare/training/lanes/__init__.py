"""Train many trials as one vectorized program, checked against the loop trainer."""

"""Suites: fixed workloads with goals, on which optimizers and strategies get a score."""

"""Trainers turn trials into records: they receive strategies, workloads and optimizers, and know no plugin or
file.
"""

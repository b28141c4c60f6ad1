"""What plugins and users derive from or hand in: strategies, workloads, optimizers, diagnostics, trackers,
executors.
"""

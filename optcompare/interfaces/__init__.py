"""What users and plugins write: strategies, workloads, optimizers, diagnostics, trackers, executors."""

"""Interfaces of users and plugins: strategies, workloads, optimizers, diagnostics, trackers, executors."""

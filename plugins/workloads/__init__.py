"""Bundled workloads."""

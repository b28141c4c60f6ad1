"""Build workloads from a user's own models and data."""

"""Models and data as people have them become a workload."""

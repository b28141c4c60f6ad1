"""Makes workloads of models and data as people have them."""

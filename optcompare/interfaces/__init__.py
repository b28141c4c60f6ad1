"""What plugins and users give optcompare, or derive from: strategies, workloads, optimizers, diagnostics, trackers."""

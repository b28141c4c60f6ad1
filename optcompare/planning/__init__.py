"""From names, specs and objects to trials that can be trained: resolved, tried out on a few rows, estimated."""

"""Basic parts that all other packages use: random numbers, specs, parameters, trees of tensors."""

"""What all other rooms use: random numbers, specs, parameters, trees of tensors, the comparison as data."""

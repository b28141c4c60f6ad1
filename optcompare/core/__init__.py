"""What all other rooms use: random numbers, specs, parameters, the comparison as data. No models, no files."""

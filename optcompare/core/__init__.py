"""What every other room stands on: random numbers, specs, parameters, comparisons. Nothing of a model or a file."""

"""The engine that runs a traced program with XLA, through jax."""

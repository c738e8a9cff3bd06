"""Training: the engine behind full runs and the lean one behind search trials."""

"""What is wanted: an ensemble of reward predictors fitted to comparisons."""

"""Training: stages, optimizers, callbacks, hyperparameter search and warm start."""

"""Training: stages, optimizers, callbacks, search, warm start."""

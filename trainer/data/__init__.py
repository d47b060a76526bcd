"""Training data: datasets, augmentation, embedding and the activation cache."""

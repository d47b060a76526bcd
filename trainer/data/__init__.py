"""Data for training: datasets, augmentation, embeddings, the activation cache."""

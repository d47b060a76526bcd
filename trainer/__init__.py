"""The model: configuration, preprocessing, data, network, training and export."""

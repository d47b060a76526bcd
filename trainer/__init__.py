"""The model: features, preprocessing, data sets, MobileNetV2, training and export."""

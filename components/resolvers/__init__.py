"""TFX resolver strategies for the baseline model, spans and previous statistics."""

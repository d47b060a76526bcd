"""TFX resolver strategies for live and reference model, spans and previous statistics."""

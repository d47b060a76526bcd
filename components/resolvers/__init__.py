"""TFX resolver strategies: which model, spans and statistics a node reads."""

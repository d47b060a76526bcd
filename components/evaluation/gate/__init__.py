"""ModelGate: blesses a model that passes all rules."""

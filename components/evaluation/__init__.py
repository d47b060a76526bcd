"""Model evaluation: metrics, slices, robustness, and the rules of ModelGate."""

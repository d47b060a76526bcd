"""How a model is judged: metrics, slices, robustness, and the rules of the gate."""

"""AnomalyGate: anomalies, drift and skew of the statistics."""

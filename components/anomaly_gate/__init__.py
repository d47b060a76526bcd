"""AnomalyGate: stops a run on anomalies, drift or skew."""

"""RobustnessEvaluator: accuracy on corrupted images, and the most confident mistakes."""

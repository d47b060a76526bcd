"""RobustnessEvaluator: accuracy on corrupted images, and the worst mistakes."""

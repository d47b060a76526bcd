"""Training again when there is a reason: the decision, one tick, the schedule, its status."""

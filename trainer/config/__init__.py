"""The configuration of the Trainer and the Tuner."""

"""Configuration of the Trainer and the Tuner."""

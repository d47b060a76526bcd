"""Configuration, protocol and helpers that all sources share."""

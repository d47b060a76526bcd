"""Pusher: model versions in the serving directory."""

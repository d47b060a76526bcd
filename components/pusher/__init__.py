"""Pusher: versions of a model in the folder that a model server watches."""

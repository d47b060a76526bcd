"""Errors of the whole project."""


class DataError(ValueError):
    """The images cannot be used; the message is one sentence for the person who gave them."""


class UnfitError(ValueError):
    """A recipe that does not fit its data or this machine; one sentence for a person."""


class ModelUnusable(ValueError):
    """A folder does not hold what is needed; the message is one sentence for a person."""

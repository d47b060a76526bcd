"""Local paths of artifacts."""

from pathlib import Path

SERVED = 'Format-Serving'  # TFX's subfolder of a Model artifact that holds the SavedModel


def folder_of(uri: str) -> Path:
    """Local folder of an artifact URI.

    Raises:
        ValueError: the URI has a scheme.
    """
    if '://' in uri:
        raise ValueError(f'{uri} is not a local folder; mount the object storage as a volume')
    return Path(uri)

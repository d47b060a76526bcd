"""Local paths of artifacts."""

from pathlib import Path

SERVED = 'Format-Serving'  # TFX's subfolder of a Model artifact that holds the SavedModel
_BUCKETS, _MOUNTED = 'gs://', '/gcs/'


def folder_of(uri: str) -> Path:
    """Local folder of an artifact URI. Vertex AI mounts the bucket gs://NAME at /gcs/NAME.

    Raises:
        ValueError: the URI has another scheme.
    """
    if uri.startswith(_BUCKETS):
        return Path(_MOUNTED, uri.removeprefix(_BUCKETS))
    if '://' in uri:
        raise ValueError(f'{uri} is not a local folder; mount the object storage as a volume')
    return Path(uri)

"""Where the folder of an artifact is seen from this machine."""

from pathlib import Path

SERVED = 'Format-Serving'  # the SavedModel, in the folder of a Trainer's model, as TFX has it
_BUCKETS, _MOUNTED = 'gs://', '/gcs/'


def folder_of(uri: str) -> Path:
    """The folder at a URI. Vertex AI shows the bucket gs://NAME to its containers as /gcs/NAME.

    Raises:
        ValueError: it lies in another kind of object storage.
    """
    if uri.startswith(_BUCKETS):
        return Path(_MOUNTED, uri.removeprefix(_BUCKETS))
    if '://' in uri:
        raise ValueError(f'{uri} is no folder; object storage is used through a volume')
    return Path(uri)

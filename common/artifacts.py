"""Local paths of artifacts."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

SERVED = 'Format-Serving'  # TFX's subfolder of a Model artifact that holds the SavedModel


def folder_of(uri: str) -> Path:
    """Local folder of an artifact URI.

    Raises:
        ValueError: the URI has a scheme, or a null byte.
    """
    if '://' in uri:
        raise ValueError(f'{uri} is not a local folder; mount the object storage as a volume')
    if '\0' in uri:
        raise ValueError(f'{uri} is not a folder: it contains a null byte')
    return Path(uri)


def _is_local(uri: str) -> str:
    folder_of(uri)
    return uri


LocalUri = Annotated[str, AfterValidator(_is_local)]  # in files that users may edit

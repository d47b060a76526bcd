"""The folder of unlabelled images: `inference:` of a recipe. Does not import TensorFlow."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, field_validator

from common.errors import DataError
from common.strict_model import StrictModel
from components.image_example_gen.sources.base import listing
from components.image_example_gen.sources.base.listing import LocalFolder, list_files


class InferenceConfig(StrictModel):
    """Unlabelled images that a run classifies with the blessed model."""

    path: Path = Field(description='folder of unlabelled images, searched recursively')

    @field_validator('path')
    @classmethod
    def _is_local(cls, path: Path) -> Path:
        if ':/' in str(path):
            raise ValueError('must be a local folder; mount the object storage as a volume')
        return path


def files_of(folder: Path) -> Iterator[Path]:
    """Yields the image files; raises DataError if the path is not a readable folder."""
    _require_folder(folder)
    files = list_files(LocalFolder(folder))
    yield from (folder / file.name for file in files if file.stamp)  # without broken links


def fingerprint_of(folder: Path) -> str:
    """Digest that changes when an image is added, removed, renamed or modified."""
    _require_folder(folder)
    return listing.fingerprint_of(list_files(LocalFolder(folder)))


def require_images(folder: Path) -> None:
    """Raises DataError for a folder without images, before a run starts to train."""
    if next(files_of(folder), None) is None:
        raise DataError(f'inference.path: {folder} has no images')


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        problem = 'is not a folder' if folder.exists() else 'does not exist'
        raise DataError(f'inference.path: {folder} {problem}; give a folder with images')

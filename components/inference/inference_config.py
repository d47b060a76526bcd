"""The folder of unlabelled images: `inference:` of a recipe. Does not import TensorFlow."""

from pathlib import Path

from pydantic import Field, field_validator

from common.errors import DataError
from common.strict_model import StrictModel
from components.image_example_gen.sources.base.listing import File, LocalFolder, list_files


class InferenceConfig(StrictModel):
    """Unlabelled images that a run classifies with the blessed model."""

    path: Path = Field(description='folder of unlabelled images, searched recursively')

    @field_validator('path')
    @classmethod
    def _is_local(cls, path: Path) -> Path:
        if ':/' in str(path):
            raise ValueError('must be a local folder; mount the object storage as a volume')
        return path


def images_in(folder: Path, where: str = 'inference.path') -> list[File]:
    """The image files at any depth, with their sizes and times, sorted by name.

    Raises DataError, which begins with `where`, if this is not a readable folder with images.
    """
    if not folder.is_dir():
        problem = 'is not a folder' if folder.exists() else 'does not exist'
        raise DataError(f'{where}: {folder} {problem}; give a folder with images')
    files = [file for file in list_files(LocalFolder(folder)) if file.stamp]  # no broken links
    if not files:
        raise DataError(f'{where}: {folder} has no images')
    return files

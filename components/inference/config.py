"""Which images get answers: the `inference:` part of a recipe. Imports no TensorFlow and no TFX."""

from pathlib import Path

from pydantic import Field, field_validator

from common.strict_model import StrictModel


class InferenceConfig(StrictModel):
    """Images without labels, which a blessed model answers in the same run."""

    path: Path = Field(description='folder with images at any depth; its folders are no classes')

    @field_validator('path')
    @classmethod
    def _is_a_folder(cls, path: Path) -> Path:
        if ':/' in str(path):
            raise ValueError('must be a folder; object storage is used through a volume')
        return path

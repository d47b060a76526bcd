"""Configuration of batch inference: `inference:` of a recipe."""

from pathlib import Path

from pydantic import Field, field_validator

from common.strict_model import StrictModel


class InferenceConfig(StrictModel):
    """Unlabelled images that a run classifies with the blessed model."""

    path: Path = Field(description='folder of unlabelled images, searched recursively')

    @field_validator('path')
    @classmethod
    def _is_a_folder(cls, path: Path) -> Path:
        if ':/' in str(path):
            raise ValueError('must be a local folder; mount the object storage as a volume')
        return path

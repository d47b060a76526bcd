"""Which images: the `data:` part of a recipe. Imports neither TensorFlow nor TFX."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from trainer.config import StrictModel


class SplitConfig(StrictModel):
    """Shares of the splits, in hash buckets: 3, 1 and 1 give test a fifth."""

    train: int = Field(3, ge=1)
    eval: int = Field(1, ge=1)
    test: int = Field(1, ge=1)


class DataConfig(StrictModel):
    """Where images come from and how they are split."""

    source: Literal['drawings', 'folder', 'tfds'] = 'drawings'
    path: Path | None = Field(None, description='folder: a folder with one folder per class')
    dataset: str | None = Field(None, description="tfds: name of the data set, as 'cats_vs_dogs'")
    count: int = Field(2000, ge=100, description='drawings: how many')
    seed: int = Field(0, ge=0, description='drawings: which')
    splits: SplitConfig = SplitConfig()

    @model_validator(mode='after')
    def _source_has_what_it_needs(self) -> 'DataConfig':
        needed = {'folder': 'path', 'tfds': 'dataset'}.get(self.source)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"source '{self.source}' needs the key '{needed}'")
        return self

"""Which images: the `data:` part of a recipe. Imports neither TensorFlow nor TFX."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from components.ingestion.config import CheckConfig
from components.sources.files import IMAGE_SUFFIXES, PARQUET_SUFFIXES, files_in
from trainer.config import StrictModel
from trainer.features import IMAGE_BYTES, LABEL, SPLITS


class SplitConfig(StrictModel):
    """Shares of the splits, in hash buckets: 3, 1 and 1 give test a fifth."""

    train: int = Field(3, ge=1)
    eval: int = Field(1, ge=1)
    test: int = Field(1, ge=1)
    test_of_validation: float = Field(
        0.2, gt=0, lt=1, description='of images that come as train and validation: the share of '
        'validation that becomes test, the rest being eval; train stays train',
    )  # fmt: skip

    def expected(self, count: int) -> dict[str, int]:
        """About how many of `count` images each split gets."""
        shares = {split: getattr(self, split) for split in SPLITS}
        return {
            split: round(count * share / sum(shares.values())) for split, share in shares.items()
        }


class FeatureNames(StrictModel):
    """What the features of somebody else's `tf.Example`s are called."""

    image: str = Field(IMAGE_BYTES, description='bytes of an image file')
    label: str = Field(LABEL, description='a whole number, or the name of a class')
    filename: str | None = Field(None, description='where an image came from; none: not known')


class DataConfig(StrictModel):
    """Where images come from, what they must be, and how they are split."""

    source: Literal['drawings', 'folder', 'archive', 'parquet', 'tfds', 'tfrecord', 'canonical'] = (
        'drawings'
    )
    path: Path | None = Field(
        None, description='folder: a folder with one folder per class, or with train and '
        'validation that hold such; archive: a zip or tar of such; parquet, tfrecord: a file, or a '
        'folder with any; canonical: a folder as ImageExampleGen writes it',
    )  # fmt: skip
    url: str | None = Field(None, description='archive: where to fetch it, once; in place of path')
    sha256: str | None = Field(
        None, pattern='^[0-9a-f]{64}$', description='archive: what its bytes must hash to'
    )
    classes: tuple[str, ...] | None = Field(
        None, description='names in the order of the labels; an image of another class is set '
        'aside; default: what the source says, such as the names of the folders',
    )  # fmt: skip
    features: FeatureNames = FeatureNames()
    dataset: str | None = Field(None, description="tfds: name of the data set, as 'cats_vs_dogs'")
    count: int = Field(2000, ge=100, description='drawings: how many')
    seed: int = Field(0, ge=0, description='drawings: which')
    checks: CheckConfig = CheckConfig()
    splits: SplitConfig = SplitConfig()
    window: int = Field(
        1, ge=1, description='of a path that holds span-1, span-2, ...: how many of the newest '
        'spans a model is trained on',
    )  # fmt: skip
    test_window: int = Field(
        1, ge=1, description='how many of the newest spans a model is judged on; part of window'
    )

    @model_validator(mode='after')
    def _source_has_what_it_needs(self) -> 'DataConfig':
        if self.source == 'tfds' and self.dataset is None:
            raise ValueError("source 'tfds' needs the key 'dataset'")
        if self.classes is not None and self.source != 'parquet':
            raise ValueError(f"the key 'classes' is for source 'parquet', not '{self.source}'")
        if self.test_window > self.window:
            raise ValueError(
                f'test_window is {self.test_window}, more than the {self.window} of window'
            )
        return self


def data_overrides(path: Path) -> list[tuple[str, Any]]:
    """The keys of a recipe that `--data PATH` sets, by what is found there."""
    source = _kind(path)
    overrides: list[tuple[str, Any]] = [('data.source', source), ('data.path', str(path))]
    if source == 'folder':  # which names the classes itself
        overrides.append(('data.classes', None))
    return overrides


def _kind(path: Path) -> Literal['folder', 'parquet']:
    """Whatever is neither, or is missing, is a folder: its source says what is wrong."""
    if not path.is_dir():
        return 'parquet' if path.suffix.lower() in PARQUET_SUFFIXES else 'folder'
    parquet = False
    try:
        for file in files_in(path, IMAGE_SUFFIXES | PARQUET_SUFFIXES):
            if file.suffix.lower() in PARQUET_SUFFIXES:
                parquet = True
            elif file.parent != path:
                return 'folder'
    except OSError:
        return 'folder'
    return 'parquet' if parquet else 'folder'

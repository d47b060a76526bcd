"""The index of the images that a model was trained on, with those of the models it started from.

A file `trained_on.npy` next to the SavedModel, 72 bytes per image, sorted by digest. Images of the
splits train and eval are in it: the validation loss on eval chooses the weights. It says which
images a model cannot be tested on, long after their records were removed.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from common.artifacts import folder_of
from common.errors import DataError, ModelError
from common.features import INDEX, SPLITS

# Digest of the original bytes, perceptual hash, and identifier of the group (0: none), as in the
# index that ExampleGen writes.
TRAINED_IMAGE = np.dtype([('sha256', 'u1', 32), ('perceptual', 'u1', 32), ('group', '<u8')])
_FILE = 'trained_on.npy'


def index_file(serving_directory: str) -> Path:
    """Returns the file of a model's index, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / _FILE


def read_record_index(patterns: Iterable[str]) -> np.ndarray:
    """Reads the index that ExampleGen wrote, of all spans: a structured array [n].

    `patterns` are those of record files from TFX, as in `span-1/Split-train/*`. Raises DataError if
    a span has none.
    """
    folders = sorted({Path(pattern).parent.parent for pattern in patterns})
    try:
        return np.concatenate([np.load(folder / INDEX) for folder in folders])
    except (OSError, ValueError) as error:
        raise DataError(
            f'the records have no readable {INDEX} ({error}); remove them to ingest again'
        ) from error


def write_trained_images(
    record_index: np.ndarray, serving_directory: str, base_model: str | None
) -> None:
    """Writes the index of a model; `base_model` is the SavedModel that it started from, if any."""
    used = record_index[record_index['split'] != SPLITS.index('test')]
    seen = used[['sha256', 'perceptual', 'group']].astype(TRAINED_IMAGE)
    if base_model:
        seen = np.concatenate([seen, _load(index_file(base_model))])
    _, first = np.unique(digests(seen), return_index=True)
    np.save(index_file(serving_directory), seen[first])


def read_trained_images(model: Path) -> np.ndarray | None:
    """Reads the index in the folder of a Model artifact: TRAINED_IMAGE [n].

    Returns None if the model has none, as those that earlier versions trained. Raises ModelError if
    it is damaged.
    """
    file = model / _FILE
    return _load(file) if file.is_file() else None


def digests(index: np.ndarray) -> np.ndarray:
    """Returns the digests of a structured array [n] as an array of strings [n]."""
    return np.ascontiguousarray(index['sha256']).view('S32').ravel()


def _load(file: Path) -> np.ndarray:
    try:
        return np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            f'{file} is damaged; remove it to judge as if the model had been trained on no image'
        ) from error

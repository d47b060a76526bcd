"""The index of the images that a model was trained on, with those of the models it started from.

A file `trained_on.npy` next to the SavedModel, 80 bytes per image, sorted by digest. Images of the
splits train and eval are in it: the validation loss on eval chooses the weights. It says which
images a model cannot be tested on, long after their records were removed, and whether the model was
trained on one that is gone.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib import recfunctions

from common.artifacts import folder_of
from common.errors import DataError, ModelError
from common.features import INDEX, MANIFEST, SPLITS

# Digest of the original bytes, perceptual hash, and identifier of the group (0: none), as in the
# index that ExampleGen writes; and the `span_key` of the span.
_DIGEST, _PERCEPTUAL = ('sha256', 'u1', 32), ('perceptual', 'u1', 32)
TRAINED_IMAGE = np.dtype([_DIGEST, _PERCEPTUAL, ('group', '<u8'), ('span', '<u8')])
TRAINED_ON = 'trained_on.npy'


def index_file(serving_directory: str) -> Path:
    """Returns the file of a model's index, given the SavedModel's path from TFX."""
    return folder_of(serving_directory).parent / TRAINED_ON


def span_key(fingerprint: str) -> int:
    """A number for a span with this fingerprint of its images."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], 'big')


def read_record_index(patterns: Iterable[str]) -> np.ndarray:
    """Reads the index that ExampleGen wrote, of all spans, with the field `span`: an array [n].

    `patterns` are those of record files from TFX, as in `span-1/Split-train/*`. Raises DataError if
    a span has none.
    """
    folders = sorted({Path(pattern).parent.parent for pattern in patterns})
    try:
        return np.concatenate([_read_span(folder) for folder in folders])
    except (OSError, ValueError, LookupError) as error:
        raise DataError(
            f'the records have no readable {INDEX} ({error}); remove them to ingest again'
        ) from error


def _read_span(folder: Path) -> np.ndarray:
    key = span_key(json.loads((folder / MANIFEST).read_text())['fingerprint'])
    index = np.load(folder / INDEX)
    keys = np.full(len(index), key, np.uint64)
    return recfunctions.append_fields(index, 'span', keys, usemask=False)


def write_trained_images(
    record_index: np.ndarray, serving_directory: str, base: Path | None
) -> None:
    """Writes the index of a model; `base` is that of the model that it started from, if any."""
    used = record_index[record_index['split'] != SPLITS.index('test')]
    seen = used[list(TRAINED_IMAGE.fields or ())].astype(TRAINED_IMAGE)
    if base:
        seen = np.concatenate([seen, load_index(base)])
    _, first = np.unique(digests(seen), return_index=True)
    np.save(index_file(serving_directory), seen[first])


def read_trained_images(model: Path) -> np.ndarray | None:
    """Reads the index in the folder of a Model artifact: TRAINED_IMAGE [n].

    Returns None if the model has none. Raises ModelError if it is damaged.
    """
    file = model / TRAINED_ON
    return load_index(file) if file.is_file() else None


def digests(index: np.ndarray) -> np.ndarray:
    """Returns the digests of a structured array [n] as an array of strings [n]."""
    return np.ascontiguousarray(index['sha256']).view('S32').ravel()


def load_index(file: Path) -> np.ndarray:
    """Loads an index: TRAINED_IMAGE [n]; raises ModelError if it is damaged."""
    try:
        index: np.ndarray = np.load(file)
        return index
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            f'{file} is damaged; remove it to judge as if the model had been trained on no image'
        ) from error

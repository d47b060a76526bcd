"""Stores the predictions of a model as Parquet, one row per test image.

Columns: `key`, the hexadecimal SHA-256 digest of the image; `label` and `predicted`, class indices,
-1 where the prediction is NaN or the image could not be decoded; `probability`, float32 list, of
each class; `filename`; and the features that slices are made of.
"""

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from common import features
from common.errors import ModelError
from components.evaluation.predictions.split_images import RecordedImage
from components.evaluation.results import CANDIDATE

PREDICTIONS_FILE = 'predictions.parquet'  # in the artifact's folder; missing without a model
_ROWS = 8192  # in memory at a time
_SLICED = (*features.SLICED_TEXTS, *features.SLICED_NUMBERS)
_SCHEMA = pa.schema(
    [
        ('key', pa.string()),
        ('label', pa.int32()),
        ('predicted', pa.int32()),
        ('probability', pa.list_(pa.float32())),
        ('filename', pa.string()),
        *((name, pa.string()) for name in features.SLICED_TEXTS),
        *((name, pa.float32()) for name in features.SLICED_NUMBERS),
    ]
)


def write_predictions(
    folder: Path, predictions: Iterable[tuple[RecordedImage, int, np.ndarray]]
) -> None:
    """Writes predictions to an artifact's folder.

    Each has its image, the predicted label, and the probabilities as in the signatures of the
    model: float32 [1], of the second of two classes, or [classes].
    """
    rows = (
        {
            'key': image.key,
            'label': image.label,
            'predicted': predicted,
            'probability': _of_classes(probability),
            'filename': image.filename,
            **image.measures,
        }
        for image, predicted, probability in predictions
    )
    folder.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(folder / PREDICTIONS_FILE, _SCHEMA) as file:
        while some := [*itertools.islice(rows, _ROWS)]:
            file.write_table(pa.Table.from_pylist(some, _SCHEMA))


class PredictedRow(NamedTuple):
    """A judged image with its predictions by model."""

    key: str
    label: int
    filename: str
    predicted: dict[str, int]  # class index, -1 for NaN
    probability: dict[str, np.ndarray]  # float32 [classes]
    measures: dict[str, Any]  # features that slices are made of, without missing ones


def read_rows(files: Mapping[str, Path], left_out: Collection[str]) -> Iterator[PredictedRow]:
    """Reads the predictions of several models on the same images, by name of the model.

    Leaves out images whose key is in `left_out` and repeated ones: each image is judged once.

    Raises:
        ModelError: the files are not predictions on the same images.
    """
    tables = {name: pyarrow.parquet.ParquetFile(file).read() for name, file in files.items()}
    images = next(iter(tables.values())).drop(['predicted', 'probability'])
    if not all(table['key'].equals(images['key']) for table in tables.values()):
        names = ', '.join(str(file) for file in files.values())
        raise ModelError(f'{names} have predictions for different images; run the recipe again')
    predicted, probability = (
        {name: table[column].to_numpy() for name, table in tables.items()}
        for column in ('predicted', 'probability')
    )
    done = set(left_out)
    batches = images.to_batches(_ROWS)
    for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
        if row['key'] in done:
            continue
        done.add(row['key'])
        yield PredictedRow(
            row['key'],
            row['label'],
            row['filename'],
            {name: int(each[number]) for name, each in predicted.items()},
            {name: each[number] for name, each in probability.items()},
            {name: row[name] for name in _SLICED if row[name] is not None},
        )


def candidate_rows(folder: Path, left_out: Collection[str]) -> Iterator[PredictedRow]:
    """Reads the predictions of the candidate alone from an artifact's folder, as `read_rows`."""
    return read_rows({CANDIDATE: folder / PREDICTIONS_FILE}, left_out)


def sample_of(rows: Iterable[PredictedRow], most: int) -> list[PredictedRow]:
    """The rows with the smallest digests: a random sample.

    A new test image replaces at most one of them.
    """
    return heapq.nsmallest(most, rows, key=lambda row: row.key)


def _of_classes(probability: np.ndarray) -> np.ndarray:
    return np.append(1 - probability, probability) if len(probability) == 1 else probability

"""Stores the predictions of a model as Parquet, one row per test image.

Columns: `key`, the hexadecimal SHA-256 digest of the image; `label` and `predicted`, class indices,
-1 where the prediction is NaN or the image could not be decoded; `probability`, float32 list, of
each class; `filename`; `group`, 0: none; and `slices`, their names by feature.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from components.evaluation.predictions.split_images import RecordedImage
from components.evaluation.results import CANDIDATE, REFERENCE

PREDICTIONS_FILE = 'predictions.parquet'  # in the artifact's folder; missing without a model
_ROWS = 8192  # in memory at a time
_SCHEMA = pa.schema(
    [
        ('key', pa.string()),
        ('label', pa.int32()),
        ('predicted', pa.int32()),
        ('probability', pa.list_(pa.float32())),
        ('filename', pa.string()),
        ('group', pa.uint64()),
        ('slices', pa.map_(pa.string(), pa.string())),
    ]
)


def write_predictions(
    folder: Path, predictions: Iterable[tuple[RecordedImage, int, np.ndarray]]
) -> None:
    """Writes predictions to an artifact's folder.

    Each has its image, the predicted label, and the probabilities, float32 [classes].
    """
    rows = (
        {
            'key': image.key,
            'label': image.label,
            'predicted': predicted,
            'probability': probability,
            'filename': image.filename,
            'group': image.group,
            'slices': [*image.slices.items()],
        }
        for image, predicted, probability in predictions
    )
    folder.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(folder / PREDICTIONS_FILE, _SCHEMA) as file:
        while some := [*itertools.islice(rows, _ROWS)]:
            file.write_table(pa.Table.from_pylist(some, _SCHEMA))


class PredictedRow(NamedTuple):
    """A test image with its predictions by model."""

    key: str
    label: int
    filename: str
    predicted: dict[str, int]  # class index, -1 for NaN
    probability: dict[str, np.ndarray]  # float32 [classes]
    slices: dict[str, str]  # names by feature
    group: int = 0  # 0: none


def prediction_paths(candidate: Path, reference: Path | None = None) -> dict[str, Path]:
    """The files of predictions by name of the model, given the folders of the artifacts."""
    files = {CANDIDATE: candidate / PREDICTIONS_FILE}
    if reference and (reference / PREDICTIONS_FILE).exists():  # else there is no reference model
        files[REFERENCE] = reference / PREDICTIONS_FILE
    return files


def read_rows(files: Mapping[str, Path]) -> Iterator[PredictedRow]:
    """Reads the predictions of models by name, for the images in the first file.

    The others have these images, too, because fewer are left out for them.
    """
    tables = {
        name: pyarrow.parquet.read_table(file, partitioning=None) for name, file in files.items()
    }
    images = next(iter(tables.values())).drop(['predicted', 'probability'])
    keys = images['key'].to_pylist()
    columns = {}
    for name, table in tables.items():
        places = {key: place for place, key in enumerate(table['key'].to_pylist())}
        order = [places[key] for key in keys]
        columns[name] = [table[each].to_numpy()[order] for each in ('predicted', 'probability')]
    batches = images.to_batches(_ROWS)
    for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
        yield PredictedRow(
            row['key'],
            row['label'],
            row['filename'],
            {name: int(predicted[number]) for name, (predicted, _) in columns.items()},
            {name: probability[number] for name, (_, probability) in columns.items()},
            dict(row['slices']),
            row['group'],
        )


def read_labels(file: Path) -> np.ndarray:
    """Reads the labels of the images in a file of predictions, int [images]."""
    return pyarrow.parquet.read_table(file, columns=['label'])['label'].to_numpy()


def sample_of(rows: Iterable[PredictedRow], most: int) -> list[PredictedRow]:
    """The rows with the smallest digests: a random sample.

    A new test image replaces at most one of them.
    """
    return heapq.nsmallest(most, rows, key=lambda row: row.key)

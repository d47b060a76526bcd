"""Stores the predictions of a model as Parquet, one row per test image.

Columns: `key`, the hexadecimal SHA-256 digest of the image; `label` and `predicted`, class indices,
-1 where the prediction is NaN or the image could not be decoded; `probability`, float32 list as in
the signature of the model: of the second of two classes, or of each of three or more; `filename`;
`repeated`, whether an earlier row has the same key; and the features that slices are made of.
"""

import contextlib
import heapq
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
_ROWS = 8192  # per row group
_SCHEMA = pa.schema(
    [
        ('key', pa.string()),
        ('label', pa.int32()),
        ('predicted', pa.int32()),
        ('probability', pa.list_(pa.float32())),
        ('filename', pa.string()),
        ('repeated', pa.bool_()),
        *((name, pa.string()) for name in features.SLICED_TEXTS),
        *((name, pa.float32()) for name in features.SLICED_NUMBERS),
    ]
)


class PredictionWriter:
    """Writes predictions in batches; few are in memory at a time."""

    def __init__(self, writer: pyarrow.parquet.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._seen: set[bytes] = set()

    def add(self, image: RecordedImage, predicted: int, probability: np.ndarray) -> None:
        """Adds an image with its predicted label and its probabilities, float32 [1 or classes]."""
        key = bytes.fromhex(image.key)
        self._rows.append(
            {
                'key': image.key,
                'label': image.label,
                'predicted': predicted,
                'probability': probability,
                'filename': image.filename,
                'repeated': key in self._seen,
                **image.measures,
            }
        )
        self._seen.add(key)
        if len(self._rows) == _ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes the rows in memory as a row group."""
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, _SCHEMA))
            self._rows.clear()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[PredictionWriter]:
    """Opens the file of predictions in an artifact's folder for writing."""
    folder.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(folder / PREDICTIONS_FILE, _SCHEMA) as file:
        writer = PredictionWriter(file)
        yield writer
        writer.flush()


class PredictedRow(NamedTuple):
    """A judged image with its predictions by model."""

    key: str
    label: int
    filename: str
    predicted: dict[str, int]  # class index, -1 for NaN
    probability: dict[str, np.ndarray]  # float32 [1] for two classes, else [classes]
    measures: dict[str, Any]  # features that slices are made of, without missing ones


def row_groups(file: Path) -> int:
    """The number of row groups of a file of predictions."""
    return int(pyarrow.parquet.ParquetFile(file).num_row_groups)


def read_rows(
    files: Mapping[str, Path], left_out: Collection[str], groups: Collection[int] | None = None
) -> Iterator[PredictedRow]:
    """Reads the predictions of several models on the same images, by name of the model.

    Leaves out images whose key is in `left_out` and repeated ones: each image is judged once.
    `groups` are the row groups to read; default: all.

    Raises:
        ModelError: the files are not predictions on the same images.
    """
    readers = {name: pyarrow.parquet.ParquetFile(file) for name, file in files.items()}
    first = next(iter(readers.values()))
    if any(each.metadata.num_rows != first.metadata.num_rows for each in readers.values()):
        raise _differ(files)
    for group in range(first.num_row_groups) if groups is None else groups:
        tables = {name: reader.read_row_group(group) for name, reader in readers.items()}
        keys = [table.column('key').to_pylist() for table in tables.values()]
        if any(each != keys[0] for each in keys):
            raise _differ(files)
        predicted = {name: table.column('predicted').to_numpy() for name, table in tables.items()}
        probability = {name: _matrix(table) for name, table in tables.items()}
        columns = next(iter(tables.values())).drop(['predicted', 'probability']).to_pylist()
        for number, row in enumerate(columns):
            if row['repeated'] or row['key'] in left_out:
                continue
            sliced = (*features.SLICED_TEXTS, *features.SLICED_NUMBERS)
            yield PredictedRow(
                row['key'],
                row['label'],
                row['filename'],
                {name: int(each[number]) for name, each in predicted.items()},
                {name: each[number] for name, each in probability.items()},
                {name: row[name] for name in sliced if row[name] is not None},
            )


def candidate_rows(folder: Path, left_out: Collection[str]) -> Iterator[PredictedRow]:
    """Reads the predictions of the candidate alone from an artifact's folder, as `read_rows`."""
    return read_rows({CANDIDATE: folder / PREDICTIONS_FILE}, left_out)


def sample_of(rows: Iterable[PredictedRow], most: int) -> list[PredictedRow]:
    """The rows with the smallest digests: a random sample.

    A new test image replaces at most one of them.
    """
    return heapq.nsmallest(most, rows, key=lambda row: row.key)


def _matrix(table: pa.Table) -> np.ndarray:
    """The probabilities of a row group, float32 [rows, 1 or classes]."""
    column = table.column('probability').combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def _differ(files: Mapping[str, Path]) -> ModelError:
    names = ', '.join(str(file) for file in files.values())
    return ModelError(f'{names} have predictions for different images; run the recipe again')

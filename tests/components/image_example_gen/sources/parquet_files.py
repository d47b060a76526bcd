"""Writes Parquet files of images."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NAMES = ('cat', 'dog')
IMAGE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])


def write_parquet(path: Path, names=None, *, rows_in_group=None, **columns) -> Path:
    """Writes columns; `names` are those of the labels, in the metadata of the library `datasets`."""
    table = pa.table(columns)
    if names:
        features = {each: {'names': [*names], '_type': 'ClassLabel'} for each in columns}
        metadata = {'huggingface': json.dumps({'info': {'features': features}})}
        table = table.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_in_group)
    return path

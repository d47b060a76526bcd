"""Ingests one span: writes its records, its index and its quarantine."""

import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np

from common import console
from common.errors import DataError
from common.features import INDEX, MANIFEST, SPLITS
from common.files import write_atomically
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    LABEL_CONFLICT,
    SPLIT_CONFLICT,
    SplitAssignment,
)
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.ingested import Ingested, sizes_of, write_files
from components.image_example_gen.ingestion.quarantine import merge_lists, read_quarantined
from components.image_example_gen.ingestion.splits import boundaries
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.ingestion.transforms import SpanFolders
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import Source, every_image


def ingest_span(
    source: Source,
    config: DataConfig,
    folders: tuple[Path, Path],
    make_pipeline: Callable[[], beam.Pipeline],
    *,
    spans: Sequence[Path] = (),
    earlier: Sequence[Path] = (),
    identity: Mapping[str, str] | None = None,
) -> Ingested:
    """Checks every image of a span and writes the records of the usable ones.

    `folders` are the outputs, of records and quarantine; `spans` and `earlier` folders of records
    for SplitAssignment; `identity` has fields of the manifest, which is written last. Raises
    DataError if a file of many images cannot be read, or no image has a group.
    """
    shards = source.shards()
    outputs = SpanFolders(*folders, len(shards), source.classes, config)
    with console.bar('images to TFRecords', source.count) as bar, make_pipeline() as pipeline:
        transforms.on_image = bar.advance
        examine = beam.Map(transforms.examine_shard, outputs)
        _ = pipeline | beam.Create([*enumerate(shards)]) | beam.Reshuffle() | examine
    if errors := sorted(outputs.examined.glob('*.error')):
        raise pickle.loads(errors[0].read_bytes())
    parts = [np.load(file) for file in sorted(outputs.examined.glob('*.npy'))]
    images = np.concatenate(parts)
    _require_groups(source, config, images)
    limits = boundaries(config.splits)
    near = config.checks.near_distance
    assignment = SplitAssignment(images, read_index(spans), read_index(earlier), near, limits)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    assigned = [np.split(each, ends) for each in (assignment.splits, assignment.other_labels)]
    with make_pipeline() as pipeline:
        divide = beam.Map(transforms.divide_shard, outputs)
        numbered = [*zip(range(len(shards)), *assigned, strict=True)]
        _ = pipeline | beam.Create(numbered) | beam.Reshuffle() | divide
    merge_lists(outputs.quarantine, outputs.room)
    write_files(outputs.records, source, sorted(outputs.examined.glob('*.json')))
    shutil.rmtree(outputs.examined)
    used = images[assignment.splits < DUPLICATE][list(IMAGE.names or ())].astype(IMAGE)
    used['split'] = assignment.splits[assignment.splits < DUPLICATE]
    np.save(outputs.records / INDEX, used)
    counts = np.zeros((len(SPLITS), len(source.classes)), int)
    np.add.at(counts, (used['split'], used['label']), 1)
    ingested = Ingested(
        **{'fingerprint': source.fingerprint, **(identity or {})},
        listed=source.fingerprint,
        counts={
            split: dict(zip(source.classes, row.tolist(), strict=True))
            for split, row in zip(SPLITS, counts, strict=True)
        },
        tally=_tally(images, assignment, outputs),
        sizes=sizes_of(outputs.records),
    )
    write_atomically(outputs.records / MANIFEST, json.dumps(ingested.model_dump()))
    return ingested


def read_index(folders: Sequence[Path]) -> np.ndarray:
    """The index of spans: IMAGE [n]."""
    return np.concatenate([np.empty(0, IMAGE), *(np.load(each / INDEX) for each in folders)])


def _require_groups(source: Source, config: DataConfig, images: np.ndarray) -> None:
    if config.group_by and len(images) and not images['group'].any():
        (key,) = config.group_by.keys
        example = next(each.filename for each in every_image(source))
        raise DataError(
            f'data.group_by.{key}: {getattr(config.group_by, key)} gives none of {source.count} '
            f'images a group, such as {example}; correct it, or remove data.group_by'
        )


def _tally(images: np.ndarray, assignment: SplitAssignment, outputs: SpanFolders) -> Tally:
    bad = Counter(line['reason'] for line in read_quarantined(outputs.quarantine))
    found = Counter(assignment.splits.tolist())
    ungrouped = (assignment.splits < DUPLICATE) & (images['group'] == 0)
    return Tally(
        seen=len(images) - found[LABEL_CONFLICT] + bad.total(),  # the quarantine has the conflicts
        bad=dict(bad.most_common()),
        duplicates=found[DUPLICATE],
        between=found[SPLIT_CONFLICT],
        repeated=assignment.repeated,
        ungrouped=int(ungrouped.sum()) if outputs.config.group_by else 0,
    )

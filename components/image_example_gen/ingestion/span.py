"""Ingests one span: writes its records, its index and its quarantine."""

import hashlib
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np

from common import console, features
from common.errors import DataError
from common.features import INDEX, MANIFEST
from common.files import write_atomically
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    LABEL_CONFLICT,
    SPLIT_CONFLICT,
    SplitAssignment,
)
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.ingested import (
    Counts,
    Ingested,
    write_files,
)
from components.image_example_gen.ingestion.quarantine import merge_lists, read_quarantined
from components.image_example_gen.ingestion.splits import boundaries
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.ingestion.transforms import SpanFolders
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.source_protocol import Source, every_image

FORMAT = 9  # version of the files below; a new number ingests everything again


class Known(NamedTuple):
    """Folders of the records whose splits are given."""

    spans: tuple[Path, ...] = ()  # other spans of this run
    earlier: tuple[Path, ...] = ()  # spans of the earlier ingestion

    def with_span(self, records: Path) -> 'Known':
        """Adds another span of this run."""
        return self._replace(spans=(*self.spans, records))

    def digest(self) -> str:
        """A digest of the images and their splits."""
        files = ([_digest((each / INDEX).read_bytes()) for each in folders] for folders in self)
        return _digest(json.dumps([*files]).encode())


class Targets(NamedTuple):
    """Output folders of a span, or of a run with a folder for each span."""

    records: Path
    quarantine: Path

    def of_span(self, number: int) -> 'Targets':
        """The folders of one span of a run."""
        return Targets(self.records / f'span-{number}', self.quarantine / f'span-{number}')

    def of_run(self, name: str) -> 'Targets':
        """The folders of another run."""
        return Targets(self.records.parent / name, self.quarantine.parent / name)


def settings_of(source: Source, config: DataConfig, fingerprint: str) -> str:
    """A digest of the images and of the keys of `data` that the records of a span depend on."""
    settings = {
        'fingerprint': fingerprint,
        'classes': list(source.classes),
        'splits': config.splits.model_dump(),
        'group_by': config.group_by.model_dump() if config.group_by else None,
        'checks': config.checks.model_dump(),
        'format': FORMAT,
    }
    return _digest(json.dumps(settings).encode())


def ingest_span(
    source: Source,
    config: DataConfig,
    fingerprint: str,
    known: Known,
    targets: Targets,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Ingested:
    """Checks every image of a span and writes the records of the usable ones.

    The manifest is written last: an incomplete folder has none. Raises DataError if a file of many
    images cannot be read.
    """
    shards, records = source.shards(), targets.records
    folders = SpanFolders(*targets, len(shards), source.classes, config)
    with console.bar('images to TFRecords', source.count) as bar, make_pipeline() as pipeline:
        transforms.on_image = bar.advance
        examine = beam.Map(transforms.examine_shard, folders)
        _ = pipeline | beam.Create([*enumerate(shards)]) | beam.Reshuffle() | examine
    if errors := sorted(folders.examined.glob('*.error')):
        raise pickle.loads(errors[0].read_bytes())
    parts = [np.load(file) for file in sorted(folders.examined.glob('shard-*.npy'))]
    images = np.concatenate(parts)
    if config.group_by and len(images) and not images['group'].any():
        raise DataError(_no_groups(source, config.group_by))
    assignment = SplitAssignment(
        images, *map(_load, known), config.checks.near_distance, boundaries(config.splits)
    )
    ends = np.cumsum([len(part) for part in parts])[:-1]
    assigned = [np.split(each, ends) for each in (assignment.splits, assignment.other_labels)]
    with make_pipeline() as pipeline:
        divide = beam.Map(transforms.divide_shard, folders)
        numbered = [*zip(range(len(shards)), *assigned, strict=True)]
        _ = pipeline | beam.Create(numbered) | beam.Reshuffle() | divide
    merge_lists(targets.quarantine, folders.room)
    write_files(records, source, sorted(folders.examined.glob('shard-*.json')))
    shutil.rmtree(folders.examined)
    used = images[assignment.splits < DUPLICATE]
    used['split'] = assignment.splits[assignment.splits < DUPLICATE]
    np.save(records / INDEX, used[[*IMAGE.names]].astype(IMAGE))
    ingested = Ingested(
        fingerprint=fingerprint,
        listed=source.fingerprint,
        settings=settings_of(source, config, fingerprint),
        known=known.digest(),
        counts=_counts(used, source.classes),
        tally=_tally(images, assignment, targets.quarantine, grouped=config.group_by is not None),
        sizes=sizes_of(records),
    )
    write_atomically(records / MANIFEST, json.dumps(ingested.model_dump()))
    return ingested


def _load(folders: Sequence[Path]) -> np.ndarray:
    return np.concatenate([np.empty(0, IMAGE), *(np.load(each / INDEX) for each in folders)])


def _no_groups(source: Source, group_by: GroupConfig) -> str:
    (key,) = group_by.keys
    example = next(each.filename for each in every_image(source))
    return (
        f'data.group_by.{key}: {getattr(group_by, key)} gives none of {source.count} images a '
        f'group, such as {example}; correct it, or remove data.group_by'
    )


def _counts(used: np.ndarray, classes: Sequence[str]) -> Counts:
    counts = np.zeros((len(features.SPLITS), len(classes)), int)
    np.add.at(counts, (used['split'], used['label']), 1)
    return {
        split: dict(zip(classes, by_class.tolist(), strict=True))
        for split, by_class in zip(features.SPLITS, counts, strict=True)
    }


def _tally(
    images: np.ndarray, assignment: SplitAssignment, quarantine: Path, *, grouped: bool
) -> Tally:
    bad = Counter(line['reason'] for line in read_quarantined(quarantine))
    found = Counter(assignment.splits.tolist())
    ungrouped = (assignment.splits < DUPLICATE) & (images['group'] == 0)
    return Tally(
        seen=len(images) - found[LABEL_CONFLICT] + bad.total(),  # the quarantine has the conflicts
        bad=dict(bad.most_common()),
        duplicates=found[DUPLICATE],
        between=found[SPLIT_CONFLICT],
        moved=assignment.moved,
        repeated=assignment.repeated,
        ungrouped=int(ungrouped.sum()) if grouped else 0,
    )


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def sizes_of(records: Path) -> dict[str, int]:
    """Bytes of each file of a span but the manifest."""
    files = (each for each in sorted(records.rglob('*')) if each.is_file())
    return {
        str(each.relative_to(records)): each.stat().st_size
        for each in files
        if each.name != MANIFEST
    }

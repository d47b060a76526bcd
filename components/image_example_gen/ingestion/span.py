"""Ingests one span: writes its records, or links them from an earlier run."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np

from common import console, features
from common.errors import DataError
from common.features import MANIFEST
from common.files import MEGABYTE, write_atomically
from common.strict_model import StrictModel
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.duplicates import (
    DUPLICATE,
    IMAGE,
    LABEL_CONFLICT,
    SPLIT_CONFLICT,
    SplitAssignment,
)
from components.image_example_gen.ingestion.quarantine import LIST, merge_lists, read_quarantined
from components.image_example_gen.ingestion.records import record_files
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.ingestion.transforms import SpanFolders
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.sources.base.config import DataConfig, SplitConfig
from components.image_example_gen.sources.base.source_protocol import Source

FORMAT = 7  # version of the files below; a new number ingests everything again
_INDEX = 'index.npy'  # IMAGE [n] of the used images

Counts = dict[str, dict[str, int]]  # images by split and class


class _Input(StrictModel):
    """Everything that the records of a span depend on, except for the other spans."""

    fingerprint: str
    classes: tuple[str, ...]
    splits: SplitConfig
    checks: CheckConfig
    format: int


class Ingested(StrictModel):
    """The result of an ingestion: `manifest.json` in the folder of the records.

    A span is known to others by its digest: the SHA-256 of its used images and their splits.

    Attributes:
        counts: used images.
        compared_with: digests of the spans that were searched for duplicates.
        because_of: digests of those whose images conflict with images of this span.
        sizes: bytes of each file of records.
    """

    source: _Input
    counts: Counts
    tally: Tally
    compared_with: list[str]
    because_of: list[str]
    sizes: dict[str, int]


def read_ingested(records: Path) -> Ingested:
    """Reads the result of an ingestion from the folder of its records.

    Raises:
        OSError: the manifest is missing.
        ValueError: it is damaged.
    """
    # pydantic's JSON refuses the lone surrogates of a class folder with an undecodable name.
    return Ingested.model_validate(json.loads((records / MANIFEST).read_text()))


def link_span(
    source: Source,
    config: DataConfig,
    others: Sequence[Path],
    earlier: Iterable[tuple[Path, Path]],
    records: Path,
    quarantine: Path,
) -> bool:
    """Links the records of the same images from an earlier run, if there are any.

    Args:
        source: the images.
        config: checks and splits.
        others: folders of records of the other spans of this run that are already ingested.
        earlier: pairs of folders of earlier runs: records, quarantine.
        records: target, in the layout of TFX.
        quarantine: target.
    """
    wanted = _input_of(source, config)
    for folder, quarantined in earlier:
        complete = (quarantined / LIST).is_file()
        if complete and _can_be_linked(folder, wanted, others):
            for origin, target in (folder, records), (quarantined, quarantine):
                shutil.copytree(origin, target, copy_function=_link, dirs_exist_ok=True)
            return True
    return False


def _can_be_linked(records: Path, wanted: _Input, others: Sequence[Path]) -> bool:
    """Whether records are complete, and ingesting the span again would write the same."""
    try:
        ingested, digest = read_ingested(records), _digest(records)
    except (OSError, ValueError, EOFError):  # removed or truncated
        return False
    if ingested.source != wanted or ingested.sizes != _sizes(records):
        return False
    if 'unreadable' in ingested.tally.bad:  # may be readable now
        return False
    by_digest = {_digest(folder): read_ingested(folder) for folder in others}
    return by_digest.keys() >= set(ingested.because_of) and all(
        name in ingested.compared_with or digest in other.compared_with
        for name, other in by_digest.items()
    )


def ingest_span(
    source: Source,
    config: DataConfig,
    others: Sequence[Path],
    records: Path,
    quarantine: Path,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Ingested:
    """Checks every image of a span and writes the records of the usable ones.

    Args:
        source: the images.
        config: checks and splits.
        others: folders of records of the other spans of this run that are already ingested;
            near-duplicates of their images get the same split.
        records: target, in the layout of TFX. The manifest is written last, so an incomplete
            folder has none.
        quarantine: target for the images that cannot be used.
        make_pipeline: a Beam pipeline on the runner of the recipe.

    Raises:
        DataError: a file of many images cannot be read.
    """
    folders = SpanFolders(
        records, quarantine, len(source.shards()), source.classes, config.splits, config.checks
    )
    parts = _examine(source, folders, make_pipeline)
    earlier = [np.load(folder / _INDEX) for folder in others]
    index, known = np.concatenate(parts), np.concatenate([np.empty(0, IMAGE), *earlier])
    assignment = SplitAssignment(index, known, config.checks.near_distance)
    _write_records(parts, assignment, folders, make_pipeline)
    merge_lists(quarantine, config.checks.quarantine_megabytes * MEGABYTE)
    shutil.rmtree(folders.examined)
    is_used = assignment.splits < DUPLICATE
    used = index[is_used]
    used['split'] = assignment.splits[is_used]
    np.save(records / _INDEX, used)
    moved = int(np.sum(used['split'] != index['split'][is_used]))
    digests = [_digest(folder) for folder in others]
    conflicting = np.split(assignment.conflicting, np.cumsum([len(each) for each in earlier]))
    ingested = Ingested(
        source=_input_of(source, config),
        counts=_count(used, source.classes),
        tally=_tally(quarantine, assignment, moved),
        compared_with=digests,
        because_of=[name for name, found in zip(digests, conflicting, strict=False) if found.any()],
        sizes=_sizes(records),
    )
    write_atomically(records / MANIFEST, json.dumps(ingested.model_dump()))
    return ingested


def _examine(
    source: Source, folders: SpanFolders, make_pipeline: Callable[[], beam.Pipeline]
) -> list[np.ndarray]:
    """Runs the first pass; returns the index of each shard."""
    shards = source.shards()
    with console.bar('images to TFRecords', source.count) as bar, make_pipeline() as pipeline:
        transforms.on_image = bar.advance
        examine = beam.Map(transforms.examine_shard, folders)
        _ = pipeline | beam.Create([*enumerate(shards)]) | beam.Reshuffle() | examine
    for number in range(len(shards)):
        if folders.error(number).exists():
            raise DataError(folders.error(number).read_text())
    return [np.load(folders.index(number)) for number in range(len(shards))]


def _write_records(
    parts: Sequence[np.ndarray],
    assignment: SplitAssignment,
    folders: SpanFolders,
    make_pipeline: Callable[[], beam.Pipeline],
) -> None:
    """Renames the files of unchanged shards; the second pass rewrites the others."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    splits, others = (np.split(each, ends) for each in (assignment.splits, assignment.other_labels))
    changed = []
    for number, part in enumerate(parts):
        if (part['split'] != splits[number]).any():
            changed.append((number, splits[number], others[number]))
            continue
        for examined in record_files(folders.examined, number, folders.shards):
            record = folders.records / examined.relative_to(folders.examined)
            record.parent.mkdir(parents=True, exist_ok=True)
            examined.replace(record)
    if changed:
        with make_pipeline() as pipeline:
            move = beam.Map(transforms.move_records, folders)
            _ = pipeline | beam.Create(changed) | beam.Reshuffle() | move


def _tally(quarantine: Path, assignment: SplitAssignment, moved: int) -> Tally:
    bad = Counter(line['reason'] for line in read_quarantined(quarantine))
    # Label conflicts are in the quarantine.
    not_bad = int(np.sum(assignment.splits != LABEL_CONFLICT))
    duplicates, between = (
        int(np.sum(assignment.splits == reason)) for reason in (DUPLICATE, SPLIT_CONFLICT)
    )
    return Tally(
        seen=not_bad + bad.total(),
        bad=dict(bad.most_common()),
        duplicates=duplicates,
        between=between,
        moved=moved,
        repeated=assignment.repeated,
    )


def _count(images: np.ndarray, classes: Sequence[str]) -> Counts:
    return {
        split: {
            name: int(np.sum((images['split'] == number) & (images['label'] == label)))
            for label, name in enumerate(classes)
        }
        for number, split in enumerate(features.SPLITS)
    }


def _input_of(source: Source, config: DataConfig) -> _Input:
    return _Input(
        fingerprint=source.fingerprint,
        classes=source.classes,
        splits=config.splits,
        checks=config.checks,
        format=FORMAT,
    )


def _digest(records: Path) -> str:
    return hashlib.sha256(np.load(records / _INDEX).tobytes()).hexdigest()


def _sizes(records: Path) -> dict[str, int]:
    files = sorted(records.glob('Split-*/*'))
    return {str(file.relative_to(records)): file.stat().st_size for file in files}


def _link(source: str, target: str) -> None:
    """Makes a hard link, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

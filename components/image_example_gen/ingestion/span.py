"""Ingests one span: writes its records, or links them from an earlier run."""

import hashlib
import json
import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from common import console, features
from common.errors import DataError
from common.features import INDEX, MANIFEST
from common.files import write_atomically
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
from components.image_example_gen.ingestion.transforms import ERRORS, SpanFolders
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.source_protocol import Source, every_image

FORMAT = 8  # version of the files below; a new number ingests everything again

Counts = dict[str, dict[str, int]]  # images by split and class


class Ingested(StrictModel):
    """The result of an ingestion: `manifest.json` in the folder of the records.

    Spans refer to each other by digests: the SHA-256 of the used images and their splits.
    """

    source: dict[str, Any]  # what the records depend on, besides other spans
    counts: Counts  # used images
    tally: Tally
    compared_with: list[str]  # digests of the spans that were searched for duplicates
    because_of: list[str]  # digests of the spans with images in conflict with this span
    sizes: dict[str, int]  # bytes of each file of records


def read_ingested(records: Path) -> Ingested:
    """Reads the manifest of records; raises OSError or ValueError if it is missing or damaged."""
    return Ingested.model_validate_json((records / MANIFEST).read_bytes())


def link_span(
    source: Source,
    config: DataConfig,
    others: Sequence[Path],
    earlier: Iterable[tuple[Path, Path]],
    records: Path,
    quarantine: Path,
) -> bool:
    """Links the records of the same images from an earlier run; False if there are none.

    `others` are the folders of the records of this run's other spans, as far as they are ingested,
    `earlier` the folders of records and quarantine of earlier runs.
    """
    wanted = _dependencies(source, config)
    for pair in earlier:
        if _can_be_linked(*pair, wanted, others):
            for origin, target in zip(pair, (records, quarantine), strict=True):
                shutil.copytree(origin, target, copy_function=_link, dirs_exist_ok=True)
            return True
    return False


def _can_be_linked(
    records: Path, quarantine: Path, wanted: dict[str, Any], others: Sequence[Path]
) -> bool:
    """Whether records are complete, and ingesting the span again would write the same."""
    try:
        ingested, digest = read_ingested(records), _digest(records)
    except (OSError, ValueError, EOFError):  # removed or truncated
        return False
    complete = (quarantine / LIST).is_file() and ingested.sizes == _sizes(records)
    # Unreadable images may be readable now; another user cannot read the copies in the quarantine.
    readable = 'unreadable' not in ingested.tally.bad and all(
        os.access(file, os.R_OK) for file in quarantine.rglob('*')
    )
    if not (complete and readable and ingested.source == wanted):
        return False
    known = {_digest(folder): read_ingested(folder) for folder in others}
    return known.keys() >= set(ingested.because_of) and all(
        name in ingested.compared_with or digest in other.compared_with
        for name, other in known.items()
    )


def _link(source: str, target: str) -> None:
    """Makes a hard link, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)  # with its mode


def ingest_span(
    source: Source,
    config: DataConfig,
    others: Sequence[Path],
    records: Path,
    quarantine: Path,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Ingested:
    """Checks every image of a span and writes the records of the usable ones.

    Near-duplicates of images of `others`, as in `link_span`, get the same split. The manifest is
    written last: an incomplete folder has none. Raises DataError if a file of many images cannot be
    read.
    """
    shards = source.shards()
    folders = SpanFolders(records, quarantine, len(shards), source.classes, config)
    with console.bar('images to TFRecords', source.count) as bar, make_pipeline() as pipeline:
        transforms.on_image = bar.advance
        examine = beam.Map(transforms.examine_shard, folders)
        _ = pipeline | beam.Create([*enumerate(shards)]) | beam.Reshuffle() | examine
    if errors := sorted(folders.examined.glob(ERRORS)):
        raise pickle.loads(errors[0].read_bytes())
    parts = [np.load(folders.index(number)) for number in range(len(shards))]
    earlier = [np.load(folder / INDEX) for folder in others]
    images, known = np.concatenate(parts), np.concatenate([np.empty(0, IMAGE), *earlier])
    if config.group_by and len(images) and not images['group'].any():
        raise DataError(_no_groups(source, config.group_by))
    assignment = SplitAssignment(images, known, config.checks.near_distance)
    _write_records(parts, assignment, folders, make_pipeline)
    merge_lists(quarantine, folders.room)
    shutil.rmtree(folders.examined)
    used = images[assignment.splits < DUPLICATE]
    used['split'] = assignment.splits[assignment.splits < DUPLICATE]
    np.save(records / INDEX, used)
    digests = [_digest(folder) for folder in others]
    conflicting = np.split(assignment.conflicting, np.cumsum([len(each) for each in earlier]))
    ingested = Ingested(
        source=_dependencies(source, config),
        counts=_counts(used, source.classes),
        tally=_tally(images, assignment, quarantine, grouped=config.group_by is not None),
        compared_with=digests,
        because_of=[name for name, found in zip(digests, conflicting, strict=False) if found.any()],
        sizes=_sizes(records),
    )
    write_atomically(records / MANIFEST, json.dumps(ingested.model_dump()))
    return ingested


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


def _no_groups(source: Source, group_by: GroupConfig) -> str:
    (key,) = group_by.keys
    example = next(each.filename for each in every_image(source))
    return (
        f'data.group_by.{key}: {getattr(group_by, key)} gives none of {source.count} images a '
        f'group, such as {example}; correct it, or remove data.group_by'
    )


def _counts(used: np.ndarray, classes: Sequence[str]) -> Counts:
    return {
        split: {
            name: int(np.sum((used['split'] == number) & (used['label'] == label)))
            for label, name in enumerate(classes)
        }
        for number, split in enumerate(features.SPLITS)
    }


def _tally(
    images: np.ndarray, assignment: SplitAssignment, quarantine: Path, *, grouped: bool
) -> Tally:
    bad = Counter(line['reason'] for line in read_quarantined(quarantine))
    found = Counter(assignment.splits.tolist())
    is_used = assignment.splits < DUPLICATE
    return Tally(
        seen=len(images) - found[LABEL_CONFLICT] + bad.total(),  # the quarantine has the conflicts
        bad=dict(bad.most_common()),
        duplicates=found[DUPLICATE],
        between=found[SPLIT_CONFLICT],
        moved=int(np.sum(is_used & (assignment.splits != images['split']))),
        repeated=assignment.repeated,
        ungrouped=int(np.sum(is_used & (images['group'] == 0))) if grouped else 0,
    )


def _dependencies(source: Source, config: DataConfig) -> dict[str, Any]:
    return {
        'fingerprint': source.fingerprint,
        'classes': list(source.classes),
        'splits': config.splits.model_dump(),
        'group_by': config.group_by.model_dump() if config.group_by else None,
        'checks': config.checks.model_dump(),
        'format': FORMAT,
    }


def _digest(records: Path) -> str:
    return hashlib.sha256(np.load(records / INDEX).tobytes()).hexdigest()


def _sizes(records: Path) -> dict[str, int]:
    files = sorted(records.glob('Split-*/*'))
    return {str(file.relative_to(records)): file.stat().st_size for file in files}

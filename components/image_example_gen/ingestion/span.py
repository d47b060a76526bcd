"""Ingests one span: writes its records, or links them from an earlier run."""

import contextlib
import dataclasses
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
    SPLIT_CONFLICT,
    SplitAssignment,
    assign_splits,
)
from components.image_example_gen.ingestion.quarantine import LIST, merge_lists, read_quarantined
from components.image_example_gen.ingestion.records import record_files
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.ingestion.transforms import ExamineImages, SpanFolders
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.sources.base.config import DataConfig, SplitConfig
from components.image_example_gen.sources.base.source_protocol import Source

FORMAT = 7  # version of the files below; a new number ingests everything again
_INDEX = 'index.npy'

Counts = dict[str, dict[str, int]]  # images by split and class


class _Input(StrictModel):
    """Everything that the records of a span depend on."""

    fingerprint: str
    classes: tuple[str, ...]
    splits: SplitConfig
    checks: CheckConfig
    format: int


class _Manifest(StrictModel):
    """The file `manifest.json`; `sizes` are the bytes of each file of records."""

    source: _Input
    counts: Counts
    tally: Tally
    compared_with: list[str]
    because_of: list[str]
    sizes: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Ingested:
    """The result of the ingestion of a span.

    Attributes:
        counts: used images by split and class.
        tally: used, quarantined and skipped images.
        compared_with: digests of the spans that were searched for duplicates.
        because_of: digests of those whose images conflict with images of this span.
        index: IMAGE [n], of the used images.
    """

    counts: Counts
    tally: Tally
    compared_with: list[str]
    because_of: list[str]
    index: np.ndarray = dataclasses.field(compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the used images and their splits."""
        return hashlib.sha256(self.index.tobytes()).hexdigest()

    def was_compared_with(self, other: 'Ingested') -> bool:
        """Whether either of the two spans was compared with the other."""
        return other.digest in self.compared_with or self.digest in other.compared_with


def link_span(
    source: Source,
    config: DataConfig,
    window: Iterable[Ingested],
    earlier: Iterable[tuple[Path, Path]],
    records: Path,
    quarantine: Path,
) -> Ingested | None:
    """Links the records of the same images from an earlier run; None if there are none.

    Args:
        source: the images.
        config: checks and splits.
        window: the other spans of this run that are already ingested.
        earlier: pairs of folders of earlier runs: records, quarantine.
        records: target, in the layout of TFX.
        quarantine: target.
    """
    wanted = _input_of(source, config)
    others = list(window)
    digests = {other.digest for other in others}
    for folder, quarantined in earlier:
        ingested = _read_unchanged(folder, quarantined, wanted)
        if ingested is None or 'unreadable' in ingested.tally.bad:  # may be readable now
            continue
        compared = all(ingested.was_compared_with(other) for other in others)
        if compared and digests.issuperset(ingested.because_of):
            for origin, target in (folder, records), (quarantined, quarantine):
                shutil.copytree(origin, target, copy_function=_link, dirs_exist_ok=True)
            return ingested
    return None


def read_ingested(records: Path) -> Ingested:
    """Reads the result of an ingestion from the folder of its records.

    Raises:
        OSError: a file is missing.
        ValueError: a file is damaged.
    """
    manifest = _load_manifest(records)
    return Ingested(
        manifest.counts,
        manifest.tally,
        manifest.compared_with,
        manifest.because_of,
        np.load(records / _INDEX),
    )


def ingest_span(
    source: Source,
    config: DataConfig,
    window: Sequence[Ingested],
    records: Path,
    quarantine: Path,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Ingested:
    """Checks every image of a span and writes the records of the usable ones.

    Args:
        source: the images.
        config: checks and splits.
        window: the other spans of this run that are already ingested; near-duplicates of their
            images get the same split.
        records: target, in the layout of TFX. The manifest is written last, so an incomplete
            folder has none.
        quarantine: target for the images that cannot be used.
        make_pipeline: a Beam pipeline on the runner of the recipe.

    Raises:
        DataError: a file of the source cannot be read.
    """
    shards = source.shards()
    folders = SpanFolders(
        records, quarantine, len(shards), source.classes, config.splits, config.checks
    )
    with (
        console.bar('images to TFRecords', source.count) as bar,
        transforms.on_each_image(bar.advance),
        make_pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create(list(enumerate(shards))) | ExamineImages(folders)
    for number in range(len(shards)):
        if folders.error(number).exists():
            raise DataError(folders.error(number).read_text())
    parts = [np.load(folders.index(number)) for number in range(len(shards))]
    index = np.concatenate(parts)
    earlier = np.concatenate([np.empty(0, IMAGE), *(each.index for each in window)])
    assignment = assign_splits(index, earlier, config.checks.near_distance)
    _write_records(parts, assignment, folders, make_pipeline)
    ingested = _summarize(index, assignment, window, folders)
    np.save(records / _INDEX, ingested.index)
    shutil.rmtree(folders.examined)
    manifest = _Manifest(
        source=_input_of(source, config),
        counts=ingested.counts,
        tally=ingested.tally,
        compared_with=ingested.compared_with,
        because_of=ingested.because_of,
        sizes=_sizes(records),
    )
    write_atomically(records / MANIFEST, json.dumps(manifest.model_dump()))
    return ingested


def _write_records(
    parts: Sequence[np.ndarray],
    assignment: SplitAssignment,
    folders: SpanFolders,
    make_pipeline: Callable[[], beam.Pipeline],
) -> None:
    """Renames the files of unchanged shards, and rewrites the others."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    splits, others = (np.split(each, ends) for each in (assignment.splits, assignment.other_labels))
    changed = []
    for number, (part, wanted) in enumerate(zip(parts, splits, strict=True)):
        if (part['split'] != wanted).any():
            changed.append((number, wanted, others[number]))
            continue
        files = (
            record_files(each, number, folders.shards)
            for each in (folders.examined, folders.records)
        )
        for examined, record in zip(*files, strict=True):
            record.parent.mkdir(parents=True, exist_ok=True)
            examined.replace(record)
    if changed:
        with make_pipeline() as pipeline:
            move = beam.Map(transforms.move_records, folders)
            _ = pipeline | beam.Create(changed) | beam.Reshuffle() | move


def _summarize(
    index: np.ndarray,
    assignment: SplitAssignment,
    window: Sequence[Ingested],
    folders: SpanFolders,
) -> Ingested:
    """Merges the lists of the shards and counts the images."""
    names = [
        f'shard-{number:05d}{suffix}'
        for number in range(folders.shards)
        for suffix in ('', '-copies')
    ]
    merge_lists(folders.quarantine, names, folders.checks.quarantine_megabytes * MEGABYTE)
    bad = Counter(line['reason'] for line in read_quarantined(folders.quarantine))
    is_used = assignment.splits < DUPLICATE
    used = index[is_used].copy()
    used['split'] = assignment.splits[is_used]
    duplicates, between = (
        int(np.sum(assignment.splits == each)) for each in (DUPLICATE, SPLIT_CONFLICT)
    )
    tally = Tally(
        seen=len(used) + bad.total() + duplicates + between,
        bad=dict(bad.most_common()),
        duplicates=duplicates,
        between=between,
        moved=int(np.sum(index[is_used]['split'] != used['split'])),
        repeated=assignment.repeated,
    )
    digests = [each.digest for each in window]
    conflicting = np.split(assignment.conflicting, np.cumsum([len(each.index) for each in window]))
    because_of = [
        digest for digest, images in zip(digests, conflicting, strict=False) if images.any()
    ]
    counts = {
        split: {
            name: int(np.sum((used['split'] == number) & (used['label'] == label)))
            for label, name in enumerate(folders.classes)
        }
        for number, split in enumerate(features.SPLITS)
    }
    return Ingested(counts, tally, digests, because_of, used)


def _input_of(source: Source, config: DataConfig) -> _Input:
    return _Input(
        fingerprint=source.fingerprint,
        classes=source.classes,
        splits=config.splits,
        checks=config.checks,
        format=FORMAT,
    )


def _load_manifest(directory: Path) -> _Manifest:
    # pydantic's JSON refuses the lone surrogates of a class folder with an undecodable name.
    return _Manifest.model_validate(json.loads((directory / MANIFEST).read_text()))


def _read_unchanged(records: Path, quarantine: Path, wanted: _Input) -> Ingested | None:
    """None if the images or settings differ, or a file has been removed or truncated."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        manifest = _load_manifest(records)
        complete = (quarantine / LIST).is_file() and manifest.sizes == _sizes(records)
        if complete and manifest.source == wanted:
            return read_ingested(records)
    return None


def _sizes(directory: Path) -> dict[str, int]:
    """Bytes of each file of records."""
    files = sorted(directory.glob('Split-*/*'))
    return {str(file.relative_to(directory)): file.stat().st_size for file in files}


def _link(source: str, target: str) -> None:
    """Makes a hard link, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

"""From the source of one span to its records: written, or linked if an earlier run has them."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from common import console, features
from common.errors import DataError
from common.features import MANIFEST
from common.files import MEGABYTE, write_atomically
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.duplicates import (
    BETWEEN,
    DUPLICATE,
    IMAGE,
    Decided,
    decide,
)
from components.image_example_gen.ingestion.quarantine import LIST, merge_lists, read_quarantined
from components.image_example_gen.ingestion.records import record_files
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.ingestion.transforms import (
    ExamineImages,
    MoveRecords,
    SpanFolders,
)
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import Source

FORMAT = 7  # of the files below: another number and everything is ingested again
_INDEX = 'index.npy'

Counts = dict[str, dict[str, int]]  # images by split and class


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What became of the images of a span.

    Attributes:
        counts: of those that are used, by split and class.
        tally: how many there were, and what became of the others.
        compared_with: digests of the spans whose images these were compared with.
        because_of: those of them for which some images are left out here.
        index: IMAGE [n], of those that are used.
    """

    counts: Counts
    tally: Tally
    compared_with: list[str]
    because_of: list[str]
    index: np.ndarray = dataclasses.field(compare=False, repr=False)

    @property
    def digest(self) -> str:
        """Changes with the images that are used, and with their splits."""
        return hashlib.sha256(self.index.tobytes()).hexdigest()

    def knows(self, other: 'Ingested') -> bool:
        """Whether the images of one of the two were compared with those of the other."""
        return other.digest in self.compared_with or self.digest in other.compared_with


def link_span(
    source: Source,
    config: DataConfig,
    known: Iterable[Ingested],
    earlier: Iterable[tuple[Path, Path]],
    records: Path,
    quarantine: Path,
) -> Ingested | None:
    """Links what an earlier run has written of the same images, if there is such.

    Args:
        source: the images.
        config: how they are checked and divided.
        known: the spans that they are used with, as far as those are there already.
        earlier: folders of records and of the quarantine, in pairs.
        records: where to, as TFX lays out Examples.
        quarantine: where to.
    """
    description = _describe(source, config)
    for folder, aside in earlier:
        manifest = _read_manifest(folder)
        if manifest['source'] != description or manifest['sizes'] != _sizes(folder):
            continue
        found = _whole(folder, aside)
        if found is None or 'unreadable' in found.tally.bad:  # it may be readable by now
            continue
        others = list(known)
        compared = all(found.knows(other) for other in others)
        there = {other.digest for other in others}
        if compared and there.issuperset(found.because_of):
            for each, target in (folder, records), (aside, quarantine):
                shutil.copytree(each, target, copy_function=_link, dirs_exist_ok=True)
            return found
    return None


def read_ingested(records: Path) -> Ingested:
    """What became of a span, from the folder of its records."""
    manifest = _read_manifest(records)
    return Ingested(
        manifest['counts'],
        Tally(**manifest['tally']),
        manifest['compared_with'],
        manifest['because_of'],
        np.load(records / _INDEX),
    )


def ingest_span(
    source: Source,
    config: DataConfig,
    known: Sequence[Ingested],
    records: Path,
    quarantine: Path,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Ingested:
    """Checks every image and writes those that can be used.

    Args:
        source: the images.
        config: how they are checked and divided.
        known: spans that are used with this one: near copies of their images get their splits.
        records: where to, as TFX lays out Examples; a manifest is written last, so what was cut
            off has none.
        quarantine: where to put those that cannot be used.
        make_pipeline: a Beam pipeline on the runner that the recipe names.

    Raises:
        DataError: a file of the source cannot be read at all.
    """
    shards = source.shards()
    folders = SpanFolders(
        records, quarantine, len(shards), source.classes, config.splits, config.checks
    )
    with (
        console.bar('images to TFRecords', source.count) as bar,
        transforms.telling(bar.advance),
        make_pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create(list(enumerate(shards))) | ExamineImages(folders)
    for number in range(len(shards)):
        if folders.error(number).exists():
            raise DataError(folders.error(number).read_text())
    parts = [np.load(folders.index(number)) for number in range(len(shards))]
    index = np.concatenate(parts)
    earlier = np.concatenate([np.empty(0, IMAGE), *(each.index for each in known)])
    decided = decide(index, earlier, config.checks.near_distance)
    _settle(parts, decided, folders, make_pipeline)
    ingested = _result(index, decided, known, folders)
    np.save(records / _INDEX, ingested.index)
    shutil.rmtree(folders.examined)
    _write_manifest(source, config, ingested, records)
    return ingested


def _settle(
    parts: Sequence[np.ndarray],
    decided: Decided,
    folders: SpanFolders,
    make_pipeline: Callable[[], beam.Pipeline],
) -> None:
    """Moves whole shards of which every image stays, and writes the others anew."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    places, others = (np.split(each, ends) for each in (decided.places, decided.other_labels))
    changed = []
    for number, (part, wanted) in enumerate(zip(parts, places, strict=True)):
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
            _ = pipeline | beam.Create(changed) | MoveRecords(folders)


def _result(
    index: np.ndarray, decided: Decided, known: Sequence[Ingested], folders: SpanFolders
) -> Ingested:
    """Counts, and gathers what the shards left."""
    names = [
        f'shard-{number:05d}{suffix}'
        for number in range(folders.shards)
        for suffix in ('', '-copies')
    ]
    merge_lists(folders.quarantine, names, folders.checks.quarantine_megabytes * MEGABYTE)
    bad = Counter(line['reason'] for line in read_quarantined(folders.quarantine))
    stays = decided.places < DUPLICATE
    used = index[stays].copy()
    used['split'] = decided.places[stays]
    left_out = {each: int(np.sum(decided.places == each)) for each in (DUPLICATE, BETWEEN)}
    tally = Tally(
        seen=len(used) + bad.total() + sum(left_out.values()),
        bad=dict(bad.most_common()),
        duplicates=left_out[DUPLICATE],
        between=left_out[BETWEEN],
        moved=int(np.sum(index[stays]['split'] != used['split'])),
        repeated=decided.repeated,
    )
    digests = [each.digest for each in known]
    because = np.split(decided.because, np.cumsum([len(each.index) for each in known]))
    because_of = [each for each, images in zip(digests, because, strict=False) if images.any()]
    return Ingested(_counts(used, folders.classes), tally, digests, because_of, used)


def _counts(used: np.ndarray, classes: Sequence[str]) -> Counts:
    return {
        split: {
            name: int(np.sum((used['split'] == place) & (used['label'] == label)))
            for label, name in enumerate(classes)
        }
        for place, split in enumerate(features.SPLITS)
    }


def _describe(source: Source, config: DataConfig) -> dict[str, Any]:
    """What the records of a source depend on."""
    return {
        'fingerprint': source.fingerprint,
        'classes': list(source.classes),
        'splits': config.splits.model_dump(),
        'checks': config.checks.model_dump(),
        'format': FORMAT,
    }


def _write_manifest(source: Source, config: DataConfig, ingested: Ingested, records: Path) -> None:
    manifest = {
        'source': _describe(source, config),
        'counts': ingested.counts,
        'tally': dataclasses.asdict(ingested.tally),
        'compared_with': ingested.compared_with,
        'because_of': ingested.because_of,
        'sizes': _sizes(records),
    }
    write_atomically(records / MANIFEST, json.dumps(manifest))


def _read_manifest(directory: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return dict(json.loads((directory / MANIFEST).read_text()))
    return {'source': None}  # cut off while it was written, or being written


def _whole(records: Path, quarantine: Path) -> Ingested | None:
    """What became of a span; None if somebody has removed a part of what was written of it."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        return read_ingested(records) if (quarantine / LIST).is_file() else None
    return None


def _sizes(directory: Path) -> dict[str, int]:
    """Bytes of each file of records: whether all is there still."""
    files = sorted(directory.glob('Split-*/*'))
    return {str(file.relative_to(directory)): file.stat().st_size for file in files}


def _link(source: str, target: str) -> None:
    """A second name for a file, or a copy of it where the disk knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

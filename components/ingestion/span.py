"""From the source of one span to its records: written, or linked if an earlier run has them."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from components.ingestion import transforms
from components.ingestion.duplicates import BETWEEN, DUPLICATE, IMAGE, decide
from components.ingestion.quarantine import merge_lists, read_quarantined
from components.ingestion.tally import Tally, describe_bad
from components.ingestion.transforms import ExamineImages, MoveRecords, SpanFolders
from components.sources.base import DataError, Source
from components.sources.config import DataConfig
from trainer import features, progress

_FORMAT = 5  # of the files below: another number and everything is ingested again
_MANIFEST, _INDEX = 'manifest.json', 'index.npy'
_LOG = logging.getLogger(__name__)
_NAMED = 3  # bad images that a sentence names

Counts = dict[str, dict[str, int]]  # images by split and class


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What became of the images of a span.

    Attributes:
        counts: of those that are used, by split and class.
        tally: how many there were, and what became of the others.
        compared_with: digests of the spans whose images these were compared with.
        index: IMAGE [n], of those that are used.
    """

    counts: Counts
    tally: Tally
    compared_with: list[str]
    index: np.ndarray = dataclasses.field(compare=False, repr=False)

    @property
    def digest(self) -> str:
        """Changes with the images that are used, and with their splits."""
        return hashlib.sha256(self.index.tobytes()).hexdigest()

    def knows(self, other: 'Ingested') -> bool:
        """Whether the images of one of the two were compared with those of the other."""
        return other.digest in self.compared_with or self.digest in other.compared_with


def link_span(
    source: Source, config: DataConfig, known: Iterable[Ingested],
    earlier: Iterable[tuple[Path, Path]], records: Path, quarantine: Path,
) -> Ingested | None:  # fmt: skip
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
        found = read_ingested(folder)
        if all(found.knows(other) for other in known) and aside.is_dir():
            for each, target in (folder, records), (aside, quarantine):
                shutil.copytree(each, target, copy_function=_link, dirs_exist_ok=True)
            return found
    return None


def read_ingested(records: Path) -> Ingested:
    """What became of a span, from the folder of its records."""
    manifest = _read_manifest(records)
    tally = Tally(**manifest['tally'])
    index = np.load(records / _INDEX)
    return Ingested(manifest['counts'], tally, manifest['compared_with'], index)


def ingest_span(
    source: Source, config: DataConfig, known: Sequence[Ingested], records: Path, quarantine: Path,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Ingested:  # fmt: skip
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
        DataError: a file of the source cannot be read at all, or too many images are bad.
    """
    shards = source.shards()
    folders = SpanFolders(
        records, quarantine, len(shards), source.classes, config.splits, config.checks
    )
    with (
        progress.bar('images to TFRecords', source.count) as bar,
        transforms.telling(bar.advance),
        make_pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create(list(enumerate(shards))) | ExamineImages(folders)
    for number in range(len(shards)):
        if folders.error(number).exists():
            raise DataError(folders.error(number).read_text())
    parts = [np.load(folders.index(number)) for number in range(len(shards))]
    index = np.concatenate(parts)
    decisions = decide(index, np.concatenate([np.empty(0, IMAGE), *(each.index for each in known)]))
    _move(parts, decisions, folders, make_pipeline)
    ingested = _result(index, decisions, known, folders)
    _require_few_bad(ingested.tally, config, quarantine)
    np.save(records / _INDEX, ingested.index)
    _write_manifest(source, config, ingested, records)
    return ingested


def _move(
    parts: Sequence[np.ndarray], decisions: np.ndarray, folders: SpanFolders,
    make_pipeline: Callable[[], beam.Pipeline],
) -> None:  # fmt: skip
    """Puts right the shards in which not every image is where it belongs."""
    ends = np.cumsum([len(part) for part in parts])
    wanted = np.split(decisions, ends[:-1])
    changed = [
        (number, want)
        for number, (part, want) in enumerate(zip(parts, wanted, strict=True))
        if (part['split'] != want).any()
    ]
    if changed:
        with make_pipeline() as pipeline:
            _ = pipeline | beam.Create(changed) | MoveRecords(folders)


def _result(
    index: np.ndarray, decisions: np.ndarray, known: Sequence[Ingested], folders: SpanFolders
) -> Ingested:
    """Counts, and gathers what the shards left."""
    names = [f'shard-{number:05d}{pass_}' for number in range(folders.shards)
             for pass_ in ('', '-copies')]  # fmt: skip
    merge_lists(folders.quarantine, names)
    for number in range(folders.shards):
        folders.index(number).unlink()
    bad = Counter(line['reason'] for line in read_quarantined(folders.quarantine))
    used = index[decisions < DUPLICATE].copy()
    used['split'] = decisions[decisions < DUPLICATE]
    counts = {
        split: {
            name: int(np.sum((used['split'] == place) & (used['label'] == label)))
            for label, name in enumerate(folders.classes)
        }
        for place, split in enumerate(features.SPLITS)
    }
    left_out = {each: int(np.sum(decisions == each)) for each in (DUPLICATE, BETWEEN)}
    tally = Tally(
        seen=len(used) + bad.total() + sum(left_out.values()),
        bad=dict(bad.most_common()),
        duplicates=left_out[DUPLICATE],
        between=left_out[BETWEEN],
        moved=int(np.sum(index[decisions < DUPLICATE]['split'] != used['split'])),
    )
    return Ingested(counts, tally, [each.digest for each in known], used)


def _require_few_bad(tally: Tally, config: DataConfig, quarantine: Path) -> None:
    bad, limit = sum(tally.bad.values()), config.checks.max_bad_share
    if bad <= limit * tally.seen:
        return
    for line in read_quarantined(quarantine):  # into the log: this folder will be removed
        _LOG.warning('%s: %s: %s', line['source'], line['reason'], line['detail'])
    lines = itertools.islice(read_quarantined(quarantine), _NAMED)
    named = [f'{line["source"]}: {line["detail"]}' for line in lines]
    raise DataError(
        f'{bad} of {tally.seen} images ({bad / tally.seen:.1%}) cannot be used, more than '
        f'the {limit:.1%} of data.checks.max_bad_share: {describe_bad(tally.bad)}; '
        f'such as {"; ".join(named)}'
    )


def _describe(source: Source, config: DataConfig) -> dict[str, Any]:
    """What the records of a source depend on."""
    return {
        'fingerprint': source.fingerprint, 'classes': list(source.classes),
        'splits': config.splits.model_dump(), 'checks': config.checks.model_dump(),
        'format': _FORMAT,
    }  # fmt: skip


def _write_manifest(source: Source, config: DataConfig, ingested: Ingested, records: Path) -> None:
    manifest = {
        'source': _describe(source, config), 'counts': ingested.counts,
        'tally': dataclasses.asdict(ingested.tally), 'compared_with': ingested.compared_with,
        'sizes': _sizes(records),
    }  # fmt: skip
    (records / _MANIFEST).write_text(json.dumps(manifest))


def _read_manifest(directory: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads((directory / _MANIFEST).read_text()))
    return {'source': None}  # cut off while it was written, or being written


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

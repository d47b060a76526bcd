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

from components.ingestion import transforms
from components.ingestion.duplicates import BETWEEN, DUPLICATE, IMAGE, decide
from components.ingestion.quarantine import merge_lists, read_quarantined
from components.ingestion.transforms import ExamineImages, MoveRecords, SpanFolders
from components.sources.base import DataError, Source
from components.sources.config import DataConfig
from trainer import features, progress

_FORMAT = 5  # of the files below: another number and everything is ingested again
_MANIFEST, _INDEX = 'manifest.json', 'index.npy'
_NAMED = 3  # bad images that a sentence names

Counts = dict[str, dict[str, int]]  # images by split and class


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What became of the images of a span.

    Attributes:
        counts: of those that are used, by split and class.
        seen: how many there were.
        bad: how many were set aside, by reason.
        duplicates: how many were left out as copies of others, with the same bytes and label.
        between: how many were left out because they have near copies in two splits of other spans.
        moved: how many are in another split than they would be alone, with near copies of theirs.
        compared_with: digests of the spans whose images these were compared with.
        index: IMAGE [n], of those that are used.
    """

    counts: Counts
    seen: int
    bad: dict[str, int]
    duplicates: int
    between: int
    moved: int
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
        found = Ingested(**manifest['ingested'], index=np.load(folder / _INDEX))
        if all(found.knows(other) for other in known) and aside.is_dir():
            for each, target in (folder, records), (aside, quarantine):
                shutil.copytree(each, target, copy_function=_link, dirs_exist_ok=True)
            return found
    return None


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
    with progress.bar('images to TFRecords', source.count) as bar, transforms.telling(bar.advance):
        with make_pipeline() as pipeline:
            _ = pipeline | beam.Create(list(enumerate(shards))) | ExamineImages(folders)
    for number in range(len(shards)):
        if folders.error(number).exists():
            raise DataError(folders.error(number).read_text())
    parts = [np.load(folders.index(number)) for number in range(len(shards))]
    index = np.concatenate(parts)
    decisions = decide(index, np.concatenate([np.empty(0, IMAGE), *(each.index for each in known)]))
    _move(parts, decisions, folders, make_pipeline)
    ingested = _result(index, decisions, known, folders)
    _require_few_bad(ingested, config, quarantine)
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
    return Ingested(
        counts=counts,
        seen=len(used) + bad.total() + sum(left_out.values()),
        bad=dict(bad.most_common()),
        duplicates=left_out[DUPLICATE],
        between=left_out[BETWEEN],
        moved=int(np.sum(index[decisions < DUPLICATE]['split'] != used['split'])),
        compared_with=[each.digest for each in known],
        index=used,
    )


def _require_few_bad(ingested: Ingested, config: DataConfig, quarantine: Path) -> None:
    bad, limit = sum(ingested.bad.values()), config.checks.max_bad_share
    if bad <= limit * ingested.seen:
        return
    for line in read_quarantined(quarantine):  # into the log: this folder will be removed
        print(f'{line["source"]}: {line["reason"]}: {line["detail"]}')
    lines = read_quarantined(quarantine)
    named = [f'{line["source"]}: {line["detail"]}' for line, _ in zip(lines, range(_NAMED))]
    raise DataError(
        f'{bad} of {ingested.seen} images ({bad / ingested.seen:.1%}) cannot be used, more than the '
        f'{limit:.1%} of data.checks.max_bad_share: {describe_bad(ingested.bad)}; '
        f'such as {"; ".join(named)}'
    )


def describe_bad(bad: dict[str, int]) -> str:
    """`3 truncated, 1 not an image`."""
    return ', '.join(f'{number} {reason}' for reason, number in bad.items())


def _describe(source: Source, config: DataConfig) -> dict[str, Any]:
    """What the records of a source depend on."""
    return {
        'fingerprint': source.fingerprint, 'classes': list(source.classes),
        'splits': config.splits.model_dump(), 'checks': config.checks.model_dump(),
        'format': _FORMAT,
    }  # fmt: skip


def _write_manifest(
    source: Source, config: DataConfig, ingested: Ingested, records: Path
) -> None:
    values = {field.name: getattr(ingested, field.name) for field in dataclasses.fields(ingested)}
    del values['index']
    manifest = {
        'source': _describe(source, config), 'ingested': values, 'sizes': _sizes(records),
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

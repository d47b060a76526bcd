"""Ingests the spans of a run: writes their records, indexes and quarantines, or links them."""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from common import console
from common.artifacts import content_of
from common.errors import DataError
from common.features import INDEX, MANIFEST, SPLITS
from common.files import write_atomically
from common.mirror import uri_of
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    LABEL_CONFLICT,
    SPLIT_CONFLICT,
    SplitAssignment,
)
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.ingested import (
    FORMAT,
    Counts,
    Fingerprints,
    Ingested,
    Tally,
    read_ingested,
    write_files,
)
from components.image_example_gen.ingestion.quarantine import LIST, line_of
from components.image_example_gen.ingestion.splits import boundaries
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, Source, every_image

# Keys of `data` that do not change the records of a span with the same fingerprint and labels.
_NOT_OF_RECORDS = {'path', 'url', 'sha256', 'classes', 'window', 'test_window', 'min_test_images'}

_log = logging.getLogger(__name__)


def ingest_spans(
    sources: Mapping[int, Source],
    images: Fingerprints,
    config: DataConfig,
    earlier: str,
    folders: tuple[Path, Path],
    make_pipeline: Callable[[], beam.Pipeline],
) -> dict[int, Ingested]:
    """Ingests each span, given by number with the oldest first.

    A span that the earlier ingestion has is linked from there, as its images keep their splits.

    Args:
        sources: the images by span.
        images: their fingerprints.
        config: the section `data` of the recipe.
        earlier: folder of the earlier ingestion, with a folder for each span; empty without one.
        folders: outputs, of records and quarantine, with a folder for each span.
        make_pipeline: creates a Beam pipeline.
    """
    records, quarantine = folders
    known = sorted(each.parent for each in Path(earlier).glob(f'span-*/{INDEX}')) if earlier else []
    linked = []
    for number, source in sources.items() if earlier else ():
        settings = _settings(source, config, images[number])
        if _link_span(f'span-{number}', Path(earlier).name, folders, settings):
            linked.append(number)
    spans = [records / f'span-{number}' for number in linked]
    for number, source in sources.items():
        if len(sources) > 1:
            state = 'linked from an earlier run' if number in linked else 'new'
            _log.info('span %s: %s images, %s', number, source.count, state)
        if number not in linked:
            targets = records / f'span-{number}', quarantine / f'span-{number}'
            others = spans, known, images[number]
            ingest_span(source, config, targets, make_pipeline, *others)
            spans.append(targets[0])
    ingested = {number: read_ingested(records / f'span-{number}') for number in sources}
    for each in ingested.values():
        if clauses := each.tally.clauses():
            _log.info('of %s images: %s', each.tally.seen, '; '.join(clauses))
    return ingested


def ingest_span(
    source: Source,
    config: DataConfig,
    folders: tuple[Path, Path],
    make_pipeline: Callable[[], beam.Pipeline],
    spans: Sequence[Path] = (),
    earlier: Sequence[Path] = (),
    fingerprint: str = '',
) -> Ingested:
    """Checks every image of a span and writes the records of the usable ones.

    `folders` are the outputs, of records and quarantine; `spans` and `earlier` folders of records
    for SplitAssignment; `fingerprint` is that of an earlier ingestion of the same images, if any.
    The manifest is written last. Raises DataError if a file of many images cannot be read, or no
    image has a group.
    """
    records, quarantine = folders
    given = source.shards()
    shards = transforms.Shards(records / 'shards', source.classes, config)
    for folder in (shards.folder, *(records / f'Split-{split}' for split in SPLITS), quarantine):
        folder.mkdir(parents=True)
    with console.bar('images to TFRecords', source.count) as bar, transforms.calling(bar.advance):
        _map(make_pipeline, given, transforms.examine_shard, shards)
    parts = [shards.result(number).entries for number in range(len(given))]
    images = np.concatenate(parts)
    _require_groups(source, config, images)
    known, near = (read_index(spans), read_index(earlier)), config.checks.near_distance
    assignment = SplitAssignment(images, *known, near, boundaries(config.splits))
    ends = np.cumsum([len(part) for part in parts])[:-1]
    splits = np.split(assignment.splits, ends)
    _map(make_pipeline, splits, transforms.divide_shard, shards)
    reasons, digests = Counter[str](), dict[str, str]()
    with (quarantine / LIST).open('w') as quarantined:
        for number, others in enumerate(np.split(assignment.other_labels, ends)):
            name = f'data_tfrecord-{number:05d}-of-{len(given):05d}'  # the layout of TFX
            for split in SPLITS:
                shards.divided(number, split).replace(records / f'Split-{split}' / name)
            examined = shards.result(number)
            digests |= examined.digests
            conflicts = _conflicts(examined.names, splits[number], others, source.classes)
            for bad in (*examined.bad, *conflicts):
                quarantined.write(line_of(bad))
                reasons[bad.reason] += 1
    write_files(records, source, digests)
    shutil.rmtree(shards.folder)
    used = images[assignment.splits < DUPLICATE]
    used['split'] = assignment.splits[assignment.splits < DUPLICATE]
    np.save(records / INDEX, used)
    fingerprint = fingerprint or source.fingerprint
    ingested = Ingested(
        fingerprint=fingerprint,
        listed=source.fingerprint,
        settings=_settings(source, config, fingerprint),
        counts=_counts(used, source.classes),
        tally=_tally(assignment, used, reasons, config),
    )
    write_atomically(records / MANIFEST, json.dumps(ingested.model_dump()))
    return ingested


def _map(
    make_pipeline: Callable[[], beam.Pipeline],
    items: Sequence[Any],
    function: Callable[[tuple[int, Any], transforms.Shards], None],
    shards: transforms.Shards,
) -> None:
    """Calls a function with each item and its number, in Beam."""
    with make_pipeline() as pipeline:
        numbered = pipeline | beam.Create([*enumerate(items)]) | beam.Reshuffle()
        _ = numbered | beam.Map(function, shards)


def _conflicts(
    names: Sequence[str], splits: np.ndarray, other_labels: np.ndarray, classes: Sequence[str]
) -> Iterator[BadImage]:
    """The images of a shard that are also under another label."""
    for place in np.flatnonzero(splits == LABEL_CONFLICT):
        other = classes[other_labels[place]]
        detail = f'the same image, or a near-duplicate, is also labelled {other}'
        yield BadImage(names[place], 'under two labels', detail)


def _counts(used: np.ndarray, classes: Sequence[str]) -> Counts:
    counts = np.zeros((len(SPLITS), len(classes)), int)
    np.add.at(counts, (used['split'], used['label']), 1)
    by_class = (dict(zip(classes, row.tolist(), strict=True)) for row in counts)
    return dict(zip(SPLITS, by_class, strict=True))


def _tally(
    assignment: SplitAssignment, used: np.ndarray, reasons: Counter[str], config: DataConfig
) -> Tally:
    found = Counter(assignment.splits.tolist())
    return Tally(
        seen=len(assignment.splits) - found[LABEL_CONFLICT] + reasons.total(),
        bad=dict(reasons.most_common()),  # with the conflicts
        duplicates=found[DUPLICATE],
        between=found[SPLIT_CONFLICT],
        repeated=assignment.repeated,
        ungrouped=int((used['group'] == 0).sum()) if config.group_by else 0,
    )


def read_index(folders: Sequence[Path]) -> np.ndarray:
    """The index of spans: IMAGE [n]."""
    return np.concatenate([np.empty(0, IMAGE), *(np.load(each / INDEX) for each in folders)])


def _settings(source: Source, config: DataConfig, fingerprint: str) -> str:
    """What the records depend on, besides other spans."""
    names = source.labels.names
    classes = sorted(f'{label!r} is {names.get(label)}' for label in source.by_label)
    keys = config.model_dump(mode='json', exclude=_NOT_OF_RECORDS)
    return json.dumps([FORMAT, fingerprint, source.classes, classes, keys])


def _require_groups(source: Source, config: DataConfig, images: np.ndarray) -> None:
    if config.group_by and len(images) and not images['group'].any():
        (key,) = config.group_by.keys
        example = next(each.filename for each in every_image(source))
        raise DataError(
            f'data.group_by.{key}: {getattr(config.group_by, key)} gives none of {source.count} '
            f'images a group, such as {example}; correct it, or remove data.group_by'
        )


def _link_span(name: str, run: str, folders: tuple[Path, Path], settings: str) -> bool:
    """Links a span of another run that has the same settings, if there is one."""
    records, quarantine = (folder.parent / run / name for folder in folders)
    try:
        ingested = read_ingested(records)
    except (OSError, ValueError):  # removed or truncated
        return False
    # Unreadable images may be readable now.
    is_same = ingested.settings == settings and 'unreadable' not in ingested.tally.bad
    if not is_same:
        return False
    for origin in (records, quarantine):
        content_of(uri_of(origin))
    if not (quarantine / LIST).is_file():
        return False
    for origin, folder in zip((records, quarantine), folders, strict=True):
        for file in origin.rglob('*'):
            if file.is_file():
                _link(file, folder / name / file.relative_to(origin))
    return True


def _link(file: Path, place: Path) -> None:
    """Makes a hard link, or a copy if the file system has no hard links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)

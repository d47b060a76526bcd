"""Ingests the spans of a run, or links them from earlier runs."""

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import apache_beam as beam

from common.features import INDEX
from components.image_example_gen.ingestion.ingested import Ingested, read_ingested, sizes_of
from components.image_example_gen.ingestion.quarantine import LIST
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import Source

FORMAT = 9  # version of the files of a span; a new number ingests everything again

_log = logging.getLogger(__name__)


def ingest_spans(
    sources: Mapping[int, Source],
    images: Mapping[int, str],
    config: DataConfig,
    earlier: str,
    folders: tuple[Path, Path],
    make_pipeline: Callable[[], beam.Pipeline],
) -> dict[int, Ingested]:
    """Links or ingests each span, given by number with the oldest first.

    A span of the earlier ingestion is linked from there, as its images keep their splits; another
    one from a run of the same spans with the same earlier ingestion.

    Args:
        sources: the images by span.
        images: their fingerprints.
        config: the section `data` of the recipe.
        earlier: folder of the earlier ingestion, with a folder for each span; empty without one.
        folders: outputs, of records and quarantine, with a folder for each span.
        make_pipeline: creates a Beam pipeline.
    """
    records = folders[0]
    kept = sorted(each.parent for each in Path(earlier).glob(f'span-*/{INDEX}')) if earlier else []
    run = json.dumps([images, earlier])
    runs = sorted(each.name for each in records.parent.glob('*'))
    identities: dict[str, dict[str, str]] = {}
    spans: list[Path] = []  # that are done
    for number, source in sources.items():
        name, settings = f'span-{number}', _settings(source, config, images[number])
        identities[name] = {'fingerprint': images[number], 'settings': settings, 'run': run}
        of_earlier = earlier and _link_span(folders, name, Path(earlier).name, settings=settings)
        if of_earlier or any(_link_span(folders, name, each, **identities[name]) for each in runs):
            spans.append(records / name)
    linked = [each.name for each in spans]
    for source, (name, identity) in zip(sources.values(), identities.items(), strict=True):
        if len(sources) > 1:
            state = 'linked from an earlier run' if name in linked else 'new'
            _log.info('%s: %s images, %s', name.replace('-', ' '), source.count, state)
        if name not in linked:
            targets = folders[0] / name, folders[1] / name
            known = {'spans': spans, 'earlier': kept}
            ingest_span(source, config, targets, make_pipeline, identity=identity, **known)
            spans.append(records / name)
    ingested = {number: read_ingested(records / f'span-{number}') for number in sources}
    for each in ingested.values():
        if clauses := each.tally.clauses():
            _log.info('of %s images: %s', each.tally.seen, '; '.join(clauses))
    return ingested


def _settings(source: Source, config: DataConfig, fingerprint: str) -> str:
    """What the records of a span depend on, besides other spans."""
    data = config.model_dump(mode='json', include={'splits', 'group_by', 'checks'})
    return json.dumps([FORMAT, fingerprint, source.classes, data])


def _link_span(folders: tuple[Path, Path], name: str, other: str, **wanted: str) -> bool:
    """Links a complete span of another run whose manifest has the wanted values, if any."""
    targets = [folder / name for folder in folders]
    records, quarantine = (folder.parent / other / name for folder in folders)
    try:
        ingested = read_ingested(records)
    except (OSError, ValueError):  # removed or truncated
        return False
    # Unreadable images may be readable now; another user cannot read the copies in the quarantine.
    complete = (
        wanted.items() <= vars(ingested).items()
        and (quarantine / LIST).is_file()
        and ingested.sizes == sizes_of(records)
        and 'unreadable' not in ingested.tally.bad
        and all(os.access(file, os.R_OK) for file in quarantine.rglob('*'))
    )
    if complete:
        for origin, target in zip((records, quarantine), targets, strict=True):
            _link_files(origin, target)
    return complete


def _link_files(origin: Path, target: Path) -> None:
    """Makes hard links, or copies if the file system has no hard links."""
    target.mkdir(parents=True, exist_ok=True)
    for each in sorted(origin.rglob('*')):
        place = target / each.relative_to(origin)
        if each.is_dir():
            place.mkdir(exist_ok=True)
            continue
        try:
            os.link(each, place)
        except OSError:
            place.touch(stat.S_IMODE(each.stat().st_mode))  # some file systems have no chmod
            shutil.copyfile(each, place)

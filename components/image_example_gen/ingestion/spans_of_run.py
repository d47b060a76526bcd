"""Ingests the spans of a run, or links them from earlier runs."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import apache_beam as beam

from common.features import INDEX
from components.image_example_gen.ingestion.earlier import Fingerprints
from components.image_example_gen.ingestion.ingested import Ingested, read_ingested
from components.image_example_gen.ingestion.quarantine import LIST
from components.image_example_gen.ingestion.span import (
    Known,
    Targets,
    ingest_span,
    settings_of,
    sizes_of,
)
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import Source

_log = logging.getLogger(__name__)


def ingest_spans(
    sources: Mapping[int, Source],
    images: Fingerprints,
    config: DataConfig,
    earlier: str,
    run: Targets,
    make_pipeline: Callable[[], beam.Pipeline],
) -> dict[int, Ingested]:
    """Links or ingests each span, given by number with the oldest first.

    A span that the earlier ingestion has, too, is linked from there: all its images keep their
    splits. Another one is linked from a run that had the same other spans and earlier ingestion.
    Spans that are linked do not depend on those that are new.

    Args:
        sources: the images by span.
        images: their fingerprints.
        config: the section `data` of the recipe.
        earlier: folder of the earlier ingestion, with a folder for each span; empty without one.
        run: output folders.
        make_pipeline: creates a Beam pipeline.
    """
    kept = tuple(sorted(file.parent for file in Path(earlier).glob(f'span-*/{INDEX}')))
    known, linked = Known(earlier=kept if earlier else ()), []
    settings = {n: settings_of(source, config, images[n]) for n, source in sources.items()}
    for number in sources:
        before = run.of_run(Path(earlier).name).of_span(number)
        if earlier and link_span({'settings': settings[number]}, [before], run.of_span(number)):
            known = known.with_span(run.of_span(number).records)
            linked.append(number)
    for number in [number for number in sources if number not in linked]:
        wanted = {'settings': settings[number], 'known': known.digest()}
        runs = sorted(folder.name for folder in run.records.parent.glob('*'))
        targets = run.of_span(number)
        if link_span(wanted, [run.of_run(name).of_span(number) for name in runs], targets):
            linked.append(number)
        else:
            ingest_span(sources[number], config, images[number], known, targets, make_pipeline)
        known = known.with_span(targets.records)
    ingested = {number: read_ingested(run.of_span(number).records) for number in sources}
    for number, each in ingested.items():
        if len(sources) > 1:
            state = 'linked from an earlier run' if number in linked else 'new'
            _log.info('span %s: %s images, %s', number, sources[number].count, state)
        if clauses := each.tally.clauses():
            _log.info('of %s images: %s', each.tally.seen, '; '.join(clauses))
    return ingested


def link_span(wanted: Mapping[str, str], earlier: Iterable[Targets], targets: Targets) -> bool:
    """Links the first complete span whose manifest has the wanted values; False without one."""
    for found in earlier:
        if _can_be_linked(wanted, found):
            for origin, target in zip(found, targets, strict=True):
                shutil.copytree(origin, target, copy_function=_link, dirs_exist_ok=True)
            return True
    return False


def _can_be_linked(wanted: Mapping[str, str], found: Targets) -> bool:
    try:
        ingested = read_ingested(found.records)
    except (OSError, ValueError):  # removed or truncated
        return False
    # Unreadable images may be readable now; another user cannot read the copies in the quarantine.
    return (
        wanted.items() <= vars(ingested).items()
        and (found.quarantine / LIST).is_file()
        and ingested.sizes == sizes_of(found.records)
        and 'unreadable' not in ingested.tally.bad
        and all(os.access(file, os.R_OK) for file in found.quarantine.rglob('*'))
    )


def _link(source: str, target: str) -> None:
    """Makes a hard link, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)  # with its mode

"""Summarizes the images of a run: counts by split and class, quarantined images."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tensorflow_data_validation as tfdv
from ml_metadata.proto import metadata_store_pb2

from common.artifacts import folder_of
from common.features import CLASS_NAME, SPLITS
from components.image_example_gen.component import EXAMPLES
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.span import Counts, read_ingested
from pipeline.execution.image_counts import Images
from pipeline.report.content.page_data import DataSummary, QuarantinedImage
from pipeline.report.content.run_artifacts import Results

_MAX_QUARANTINED = 8  # listed on the page
_STATISTICS = 'FeatureStats.pb'


def data_summary(results: Results, images: Images | None) -> DataSummary:
    """Summarizes the data from ImageExampleGen.

    Without it, as for ready TFRecords, the counts are from StatisticsGen.
    """
    if images is None:
        statistics = results['StatisticsGen'].outputs['statistics']
        return _summary(_sum(_counts(folder_of(each.uri)) for each in statistics))
    ingested = [
        read_ingested(folder_of(each.uri)) for each in results['ImageExampleGen'].outputs[EXAMPLES]
    ]
    return _summary(_sum(each.counts for each in ingested)).model_copy(
        update={
            'seen': images.tally.seen,
            'bad': images.tally.bad,
            'clauses': tuple(images.tally.clauses()),
            'examples': tuple(_quarantined(images)),
            'lists': tuple(map(str, images.lists)),
        }
    )


def examples_of(results: Results) -> list[metadata_store_pb2.Artifact]:
    """The artifacts of the example generator."""
    nodes = (results[name] for name in ('ImageExampleGen', 'ImportExampleGen') if name in results)
    return [artifact for node in nodes for artifact in node.outputs[EXAMPLES]]


def _summary(counts: Counts) -> DataSummary:
    classes = {name for split in counts.values() for name in split}
    return DataSummary(classes=tuple(sorted(classes)), counts=counts)


def _sum(many: Iterator[Counts]) -> Counts:
    total: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for counts in many:
        for split, by_class in counts.items():
            total[split].update(by_class)
    return {split: dict(counter) for split, counter in total.items()}


def _counts(statistics: Path) -> Counts:
    return {split: _counts_of_split(statistics / f'Split-{split}') for split in SPLITS}


def _counts_of_split(folder: Path) -> dict[str, int]:
    (dataset,) = tfdv.load_stats_binary(str(folder / _STATISTICS)).datasets
    return {
        bucket.label: int(bucket.sample_count)
        for feature in dataset.features
        if '/'.join(feature.path.step) == CLASS_NAME
        for bucket in feature.string_stats.rank_histogram.buckets
    }


def _quarantined(images: Images) -> Iterator[QuarantinedImage]:
    """The first quarantined images; their list may have been removed since."""
    folders = (path.parent for path in images.lists if path.is_file())
    lines = itertools.chain.from_iterable(map(read_quarantined, folders))
    for line in itertools.islice(lines, _MAX_QUARANTINED):
        yield QuarantinedImage(source=line['source'], reason=line['reason'], detail=line['detail'])

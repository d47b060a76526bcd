"""Summarizes the images of a run: counts by split and class, quarantined images."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tensorflow_data_validation as tfdv

from common.artifacts import folder_of
from common.features import CLASS_NAME, SPLITS
from components.image_example_gen.ingestion.ingested import Counts, read_ingested
from components.image_example_gen.ingestion.quarantine import read_quarantined
from pipeline.execution.run_artifacts import Results, example_folders, read_images
from pipeline.report.content.page_data import DataSummary

_MAX_QUARANTINED = 8  # listed on the page
_STATISTICS = 'FeatureStats.pb'


def data_summary(results: Results) -> DataSummary:
    """Summarizes the data from ImageExampleGen.

    Without it, as for ready TFRecords, the counts are from StatisticsGen.
    """
    images = read_images(results)
    if images is None:
        statistics = results['StatisticsGen'].outputs['statistics']
        return _summary(_read_statistics(folder_of(each.uri)) for each in statistics)
    summary = _summary(read_ingested(folder).counts for folder in example_folders(results))
    return summary.model_copy(
        update={
            'seen': images.tally.seen,
            'bad': images.tally.bad,
            'clauses': tuple(images.tally.clauses()),
            'examples': _quarantined(images.lists),
            'lists': tuple(map(str, images.lists)),
        }
    )


def _summary(spans: Iterator[Counts]) -> DataSummary:
    total: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for counts in spans:
        for split, by_class in counts.items():
            total[split].update(by_class)
    classes = {name for by_class in total.values() for name in by_class}
    counts = {split: dict(by_class) for split, by_class in total.items()}
    return DataSummary(classes=tuple(sorted(classes)), counts=counts)


def _read_statistics(folder: Path) -> Counts:
    counts: Counts = {}
    for split in SPLITS:
        file = folder / f'Split-{split}' / _STATISTICS
        (dataset,) = tfdv.load_stats_binary(str(file)).datasets
        counts[split] = {
            bucket.label: int(bucket.sample_count)
            for feature in dataset.features
            if '/'.join(feature.path.step) == CLASS_NAME
            for bucket in feature.string_stats.rank_histogram.buckets
        }
    return counts


def _quarantined(lists: tuple[Path, ...]) -> tuple[dict[str, str], ...]:
    """The first quarantined images; their list may have been removed since."""
    folders = (path.parent for path in lists if path.is_file())
    lines = itertools.chain.from_iterable(map(read_quarantined, folders))
    shown = ('source', 'reason', 'detail')
    return tuple(
        {key: line[key] for key in shown} for line in itertools.islice(lines, _MAX_QUARANTINED)
    )

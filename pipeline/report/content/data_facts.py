"""The images of a run in numbers."""

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
from pipeline.execution.launch import NodeResult
from pipeline.report.content.page_data import DataFacts, SetAside

_SET_ASIDE_SHOWN = 8
_STATISTICS = 'FeatureStats.pb'


def data_facts(results: dict[str, NodeResult], images: Images | None) -> DataFacts:
    """What ImageExampleGen noted, or StatisticsGen where the run began with ready records."""
    if images is None:
        statistics = results['StatisticsGen'].outputs['statistics']
        return _facts(_sum(_counted(folder_of(each.uri)) for each in statistics))
    ingested = [
        read_ingested(folder_of(each.uri)) for each in results['ImageExampleGen'].outputs[EXAMPLES]
    ]
    facts = _facts(_sum(each.counts for each in ingested))
    return facts.model_copy(
        update={
            'seen': images.tally.seen,
            'bad': images.tally.bad,
            'clauses': tuple(images.tally.clauses()),
            'examples': tuple(_set_aside(images)),
            'lists': tuple(map(str, images.lists)),
        }
    )


def examples_of(results: dict[str, NodeResult]) -> list[metadata_store_pb2.Artifact]:
    """The records that the run began with."""
    nodes = (results[name] for name in ('ImageExampleGen', 'ImportExampleGen') if name in results)
    return [artifact for node in nodes for artifact in node.outputs[EXAMPLES]]


def _facts(counts: Counts) -> DataFacts:
    classes = dict.fromkeys(name for split in counts.values() for name in split)
    return DataFacts(classes=tuple(sorted(classes)), counts=counts)


def _sum(many: Iterator[Counts]) -> Counts:
    total: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for counts in many:
        for split, by_class in counts.items():
            total[split].update(by_class)
    return {split: dict(counter) for split, counter in total.items()}


def _counted(statistics: Path) -> Counts:
    return {split: _counted_split(statistics / f'Split-{split}') for split in SPLITS}


def _counted_split(folder: Path) -> dict[str, int]:
    (dataset,) = tfdv.load_stats_binary(str(folder / _STATISTICS)).datasets
    return {
        bucket.label: int(bucket.sample_count)
        for feature in dataset.features
        if '/'.join(feature.path.step) == CLASS_NAME
        for bucket in feature.string_stats.rank_histogram.buckets
    }


def _set_aside(images: Images) -> Iterator[SetAside]:
    """Some of those that could not be used; their list may have been removed since."""
    folders = (path.parent for path in images.lists if path.is_file())
    lines = itertools.chain.from_iterable(map(read_quarantined, folders))
    for line in itertools.islice(lines, _SET_ASIDE_SHOWN):
        yield SetAside(source=line['source'], reason=line['reason'], detail=line['detail'])

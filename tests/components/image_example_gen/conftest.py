"""Fixtures for the ingestion of spans."""

from collections.abc import Callable

import apache_beam as beam
import pytest
from made_images import CLASSES, MemorySource, Written, encoded, labelled, picture

from components.image_example_gen.ingestion.span import ingest_span, link_span
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import LabelledImage


@pytest.fixture(scope='session')
def forty() -> list[LabelledImage]:
    """Twenty images per class, enough for every split."""
    return [
        labelled(encoded(picture(seed=n)), f'{CLASSES[n % 2]}/{n}.jpg', n % 2) for n in range(40)
    ]


@pytest.fixture
def ingest(tmp_path) -> Callable[..., Written]:
    """`ingest(images, window=[...], **keys of data)` writes a span to a new folder."""
    folders = iter(range(100))

    def write(images, window=(), earlier=(), **data) -> Written:
        source = images if hasattr(images, 'shards') else MemorySource(images)
        config = DataConfig.model_validate(data)
        folder = tmp_path / str(next(folders))
        targets = folder / 'records', folder / 'quarantine'
        pairs = [(each.records, each.quarantine) for each in earlier]
        ingested = link_span(source, config, window, pairs, *targets)
        if not ingested:
            ingested = ingest_span(source, config, window, *targets, beam.Pipeline)
        return Written(ingested, *targets)

    return write

"""Fixtures for the ingestion of spans."""

import apache_beam as beam
import pytest
from image_bytes import encoded
from made_images import CLASSES, MemorySource, Written, labelled, picture

from components.image_example_gen.ingestion.span import ingest_span, link_span, read_ingested
from components.image_example_gen.sources.base.data_config import DataConfig


@pytest.fixture(scope='session')
def forty():
    """Twenty images per class, enough for every split."""
    return [
        labelled(encoded(picture(seed=n)), f'{CLASSES[n % 2]}/{n}.jpg', n % 2) for n in range(40)
    ]


@pytest.fixture(scope='module')
def ingest(tmp_path_factory):
    """`ingest(images, window=[...], **keys of data)` writes a span to a new folder."""

    def write(images, window=(), **data):
        source = images if isinstance(images, MemorySource) else MemorySource(images)
        folder = tmp_path_factory.mktemp('span')
        targets = folder / 'records', folder / 'quarantine'
        others = [each.records for each in window]
        config = DataConfig.model_validate(data)
        return Written(*targets, ingest_span(source, config, others, *targets, beam.Pipeline))

    return write


@pytest.fixture
def link(tmp_path):
    """`link(images, earlier, window=[...], **keys of data)` links a span, if that is possible."""

    def try_to_link(images, earlier, window=(), **data):
        targets = tmp_path / 'records', tmp_path / 'quarantine'
        pairs = [(each.records, each.quarantine) for each in earlier]
        others = [each.records for each in window]
        config = DataConfig.model_validate(data)
        linked = link_span(MemorySource(images), config, others, pairs, *targets)
        return Written(*targets, read_ingested(targets[0])) if linked else None

    return try_to_link

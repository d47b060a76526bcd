"""Fixtures for the ingestion of spans."""

import apache_beam as beam
import pytest
from image_bytes import encoded
from made_images import CLASSES, MemorySource, Written, labelled, picture

from components.image_example_gen.ingestion.span import Known, Targets, ingest_span
from components.image_example_gen.sources.base.data_config import DataConfig


@pytest.fixture(scope='session')
def forty():
    """Twenty images per class, enough for every split."""
    return [
        labelled(encoded(picture(seed=n)), f'{CLASSES[n % 2]}/{n}.jpg', n % 2) for n in range(40)
    ]


@pytest.fixture(scope='module')
def ingest(tmp_path_factory):
    """`ingest(images, window=[...], earlier=[...], **keys of data)` writes a span to a folder."""

    def write(images, window=(), earlier=(), pipeline=beam.Pipeline, **data):
        source = images if isinstance(images, MemorySource) else MemorySource(images)
        folder = tmp_path_factory.mktemp('span')
        targets = Targets(folder / 'records', folder / 'quarantine')
        known = Known(*(tuple(each.records for each in spans) for spans in (window, earlier)))
        config = DataConfig.model_validate(data)
        return Written(
            *targets, ingest_span(source, config, source.fingerprint, known, targets, pipeline)
        )

    return write

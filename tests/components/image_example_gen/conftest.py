"""Fixtures for the ingestion of spans."""

import apache_beam as beam
import pytest
from image_bytes import encoded
from made_images import CLASSES, Written, labelled, memory_source, picture

from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import Source


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
        source = images if isinstance(images, Source) else memory_source(images)
        folder = tmp_path_factory.mktemp('span')
        targets = folder / 'records', folder / 'quarantine'
        known = {
            'spans': [each.records for each in window],
            'earlier': [each.records for each in earlier],
        }
        config = DataConfig.model_validate(data)
        return Written(*targets, ingest_span(source, config, targets, pipeline, **known))

    return write


@pytest.fixture
def make_files(tmp_path):
    """`make_files({'cats/1.jpg': CONTENTS})` writes texts or bytes into a folder; returns it."""

    def make(files):
        folder = tmp_path / 'pets'
        folder.mkdir(exist_ok=True)
        for name, contents in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            text = contents.encode() if isinstance(contents, str) else contents
            (folder / name).write_bytes(text)
        return folder

    return make

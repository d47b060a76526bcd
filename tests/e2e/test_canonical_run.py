"""ImportExampleGen with canonical records that ImageExampleGen has written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common import features
from common.metadata_queries import custom_property
from components.image_example_gen.sources.spans import open_window
from pipeline.config.recipe import recipe_of
from pipeline.execution.compilation import compile_pipeline
from pipeline.execution.launch import launch_node, node_of
from pipeline.graph import create_pipeline

pytestmark = pytest.mark.slow

BEFORE_TRANSFORM = (
    'ImportExampleGen',
    'ImportSchemaGen',
    'StatisticsGen',
    'ExampleValidator',
    'AnomalyGate',
)


def recipe(folder, **data):
    return recipe_of({'name': 'squares', 'workdir': str(folder), 'data': data})


def launch(recipe, run_id, *nodes):
    """Runs some nodes of the pipeline; returns their results by name."""
    (span,) = open_window(recipe.data)
    ir = compile_pipeline(create_pipeline(recipe, span.source.classes, span.source.count), run_id)
    return {node: launch_node(ir, node_of(ir, node)) for node in nodes}


@pytest.fixture(scope='module')
def home(tmp_path_factory, make_image_folder):
    """Records of ImageExampleGen in two spans, 9 and 12."""
    folder = tmp_path_factory.mktemp('canonical')
    images = make_image_folder(folder / 'pets', per_class=30)
    ingest = recipe(folder / 'earlier', source='folder', path=str(images))
    done = launch(ingest, 'first', 'ImageExampleGen')
    (examples,) = done['ImageExampleGen'].outputs['examples']
    for number in (9, 12):
        shutil.copytree(examples.uri, folder / 'records' / f'span-{number}')
    return folder


@pytest.fixture(scope='module')
def imported(home):
    return recipe(home / 'runs', source='canonical', path=str(home / 'records'))


@pytest.fixture(scope='module')
def first(imported):
    # AnomalyGate fails on anomalies.
    return launch(imported, 'first', *BEFORE_TRANSFORM)


@pytest.fixture(scope='module')
def examples(first):
    """The folder of the imported records."""
    (artifact,) = first['ImportExampleGen'].outputs['examples']
    return Path(artifact.uri)


def read_records(files, compression=''):
    records = tf.data.TFRecordDataset([str(file) for file in files], compression)
    examples = [tf.train.Example.FromString(record.numpy()) for record in records]
    # The order of the features of an example is not significant.
    return sorted(example.SerializeToString(deterministic=True) for example in examples)


def test_imports_each_split_of_the_newest_span(home, examples):
    for split in features.SPLITS:
        source = read_records(home.glob(f'records/span-12/Split-{split}/data_tfrecord-*'))
        copy = read_records(examples.glob(f'Split-{split}/*'), 'GZIP')
        assert len(source) > 3
        assert copy == source


def test_index_is_that_of_ingestion(home, examples):
    before, after = (
        np.load(each / features.INDEX) for each in (home / 'records' / 'span-12', examples)
    )
    assert sorted(each.tobytes() for each in after) == sorted(each.tobytes() for each in before)


def test_examples_record_span_and_fingerprint(imported, first):
    (span,) = open_window(imported.data)
    (examples,) = first['ImportExampleGen'].outputs['examples']

    assert custom_property(examples, 'span') == span.number == 12
    assert custom_property(examples, 'input_fingerprint') == span.source.fingerprint


def test_unchanged_records_are_cached_and_a_new_span_is_not(home, imported, first):
    again = launch(imported, 'second', 'ImportExampleGen')
    assert again['ImportExampleGen'].cached

    shutil.copytree(home / 'records' / 'span-9', home / 'records' / 'span-13')
    try:
        newer = launch(imported, 'third', 'ImportExampleGen')
    finally:
        shutil.rmtree(home / 'records' / 'span-13')
    assert not newer['ImportExampleGen'].cached
    (examples,) = newer['ImportExampleGen'].outputs['examples']
    assert custom_property(examples, 'span') == 13

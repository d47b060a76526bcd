"""Records that ImageExampleGen has written once, taken over by a pipeline of their own."""

import shutil

import pytest
import tensorflow as tf

from common import features
from common.errors import DataError
from common.metadata_queries import custom_property
from components.image_example_gen.sources.spans import open_window
from pipeline.config.recipe import recipe_of
from pipeline.execution.compilation import compile_pipeline
from pipeline.execution.launch import launch_node, node_of
from pipeline.graph import create_pipeline
from pipeline.kubeflow.compiler import compile_kubeflow
from pipeline.local.run_recipe import run

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
    """Runs some nodes of the pipeline; gives how they ended."""
    (span,) = open_window(recipe.data)
    ir = compile_pipeline(create_pipeline(recipe, span.source.classes, span.source.count), run_id)
    return {node: launch_node(ir, node_of(ir, node)) for node in nodes}


@pytest.fixture(scope='module')
def home(tmp_path_factory, make_image_folder):
    """Records as ImageExampleGen makes them, in `span-12`, and the same in an older span."""
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
    return launch(imported, 'first', *BEFORE_TRANSFORM)


def contents_of(files, compression=''):
    records = tf.data.TFRecordDataset([str(file) for file in files], compression)
    examples = [tf.train.Example.FromString(record.numpy()) for record in records]
    # The features of an example may come in another order, which means nothing.
    return sorted(example.SerializeToString(deterministic=True) for example in examples)


def test_the_records_of_the_newest_span_are_taken_over_split_by_split(home, imported, first):
    (folder,) = imported.artifacts_directory.glob('ImportExampleGen/examples/*')
    for split in features.SPLITS:
        given = contents_of(home.glob(f'records/span-12/Split-{split}/data_tfrecord-*'))
        taken = contents_of(folder.glob(f'Split-{split}/*'), 'GZIP')
        assert len(given) > 3
        assert taken == given


def test_the_schema_and_the_statistics_find_nothing_wrong_with_them(first):
    assert list(first) == list(BEFORE_TRANSFORM)  # the gate stops at anomalies


def test_a_schedule_will_know_them_by_number_and_fingerprint(imported, first):
    (span,) = open_window(imported.data)
    (examples,) = first['ImportExampleGen'].outputs['examples']

    assert custom_property(examples, 'span') == span.number == 12
    assert custom_property(examples, 'input_fingerprint') == span.source.fingerprint


def test_the_same_records_again_are_cached_and_changed_ones_are_not(home, imported, first):
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


def test_a_cluster_imports_them_in_the_place_of_images(imported, tmp_path):
    compile_kubeflow(imported, tmp_path / 'pipeline.yaml')

    spec = (tmp_path / 'pipeline.yaml').read_text()
    assert 'exec-importexamplegen' in spec
    assert 'exec-imageexamplegen' not in spec


def test_a_missing_split_is_told_before_anything_starts(home, capsys):
    records = home / 'broken'
    shutil.copytree(home / 'records' / 'span-9', records)
    shutil.rmtree(records / 'Split-test')

    with pytest.raises(DataError, match='/broken/Split-test does not exist; give a folder that'):
        run(recipe(home / 'other', source='canonical', path=str(records)))
    assert 'ImportExampleGen' not in capsys.readouterr().out

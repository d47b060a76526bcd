"""Records of ImageExampleGen in front of another run, and of TFX's ImportExampleGen."""

import shutil

import pytest
import tensorflow as tf
from tfx.components import ImportExampleGen
from tfx.proto import example_gen_pb2

from common import features
from common.artifacts import folder_of
from components.image_example_gen.sources.spans import open_window
from pipeline import graph
from pipeline.config.recipe import recipe_of
from pipeline.execution.launch import compile_pipeline, launch_node
from pipeline.graph import create_pipeline


def recipe(folder, **data):
    trainer = {
        'image_size': 32,
        'alpha': 0.35,
        'weights': 'random',
        'feature_extraction': {'epochs': 1},
        'fine_tune': {'epochs': 0},
    }
    keys = {'name': 'squares', 'workdir': str(folder), 'data': data, 'trainer': trainer}
    return recipe_of(keys)


def compiled(recipe):
    (span,) = open_window(recipe.data)
    return compile_pipeline(create_pipeline(recipe, span.source.classes, span.source.count), 'run')


@pytest.fixture(scope='module')
def records(tmp_path_factory, make_image_folder):
    """The folder of the records of a span."""
    folder = tmp_path_factory.mktemp('records')
    images = make_image_folder(folder / 'pets', 60, classes=('cat', 'dog'))
    ir = compiled(recipe(folder / 'runs', source='folder', path=str(images)))
    result = launch_node(ir, 'ImageExampleGen')
    (examples,) = result.outputs['examples']
    return folder_of(examples.uri)


def images_of(folder):
    """The encoded images of each split."""
    found = {}
    for split in features.SPLITS:
        files = [str(file) for file in sorted(folder.glob(f'Split-{split}/*'))]
        examples = map(
            tf.train.Example.FromString, tf.data.TFRecordDataset(files).as_numpy_iterator()
        )
        found[split] = sorted(
            example.features.feature[features.IMAGE_BYTES].bytes_list.value[0]
            for example in examples
        )
    return found


def test_another_run_reads_records_with_their_splits(tmp_path, records):
    ir = compiled(recipe(tmp_path, source='tfrecord', path=str(records)))

    result = launch_node(ir, 'ImageExampleGen')

    (examples,) = result.outputs['examples']
    assert images_of(folder_of(examples.uri)) == images_of(records)


@pytest.mark.slow
def test_trainer_reads_records_that_tfx_imports(tmp_path, records, monkeypatch):
    splits = [
        example_gen_pb2.Input.Split(name=split, pattern=f'Split-{split}/*')
        for split in features.SPLITS
    ]
    config = example_gen_pb2.Input(splits=splits)
    monkeypatch.setattr(
        graph, 'ImageExampleGen', lambda _: ImportExampleGen(str(records), input_config=config)
    )
    ir = compiled(recipe(tmp_path, source='drawings', count=100))

    for node_id in (each.pipeline_node.node_info.id for each in ir.nodes):
        result = launch_node(ir, node_id)
        if node_id == 'ImportExampleGen':  # the Trainer needs the index of the images
            (examples,) = result.outputs['examples']
            shutil.copy(records / features.INDEX, folder_of(examples.uri))
        if node_id == 'Trainer':
            break

    (model,) = result.outputs['model']
    assert (folder_of(model.uri) / 'Format-Serving' / 'saved_model.pb').is_file()

"""The compiled job of Vertex AI."""

import json

import pytest
import tensorflow as tf

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.vertex import compile_vertex


@pytest.fixture
def recipe(tmp_path):
    """`recipe(**overrides)`: the demo in `tmp_path`."""

    def load(overrides):
        return load_recipe('demo', [('workdir', str(tmp_path)), *overrides.items()])

    return load


def test_job_has_all_components_and_limitations(recipe, tmp_path):
    overrides = {'trainer.warm_start': 'latest_blessed', 'inference.path': '/gcs/bucket/unlabelled'}

    limitations = compile_vertex(recipe(overrides), tmp_path / 'job.json')

    spec = json.loads((tmp_path / 'job.json').read_text())['pipelineSpec']
    tasks = spec['root']['dag']['tasks']
    assert {
        'ImageExampleGen',
        'Trainer',
        'Evaluator',
        'RobustnessEvaluator',
        'ModelGate',
        'Pusher',
        'UnlabelledExampleGen',
        'BulkInferrer',
        'warm_start_resolver-model-resolver',
    } <= set(tasks)
    assert 'previous_statistics' not in tasks
    assert not any(each.get('cachingOptions', {}).get('enableCache') for each in tasks.values())
    assert any('no rolling window' in limitation for limitation in limitations)
    assert any('no drift check' in limitation for limitation in limitations)


@pytest.mark.parametrize(
    ('overrides', 'name', 'message'),
    [
        ({'data.window': 2}, 'job.json', 'no rolling window; use one span'),
        ({}, 'job.yaml', r'give a name that ends in \.json'),
    ],
)
def test_rejects_rolling_window_and_other_file_name(recipe, tmp_path, overrides, name, message):
    with pytest.raises(ConfigError, match=message):
        compile_vertex(recipe(overrides), tmp_path / name)


def test_rejects_records_in_several_spans(recipe, tmp_path):
    span = tmp_path / 'records' / 'span-3'
    for split in ('train', 'eval', 'test'):
        (span / f'Split-{split}').mkdir(parents=True)
        with tf.io.TFRecordWriter(str(span / f'Split-{split}/data_tfrecord-0-of-1')) as writer:
            writer.write(b'')
    (span / 'manifest.json').write_text('{"source": {"classes": ["a", "b"]}}')
    data = {'source': 'canonical', 'path': str(tmp_path / 'records')}

    with pytest.raises(ConfigError, match='has several spans; Vertex AI needs the folder of one'):
        compile_vertex(recipe({'data': data}), tmp_path / 'job.json')

import json

import pytest
import tensorflow as tf

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.vertex import compile_vertex


def test_job_has_all_components_and_limitations(tmp_path):
    recipe = load_recipe(
        'demo',
        [
            ('workdir', str(tmp_path)),
            ('trainer.warm_start', 'latest_blessed'),
            ('inference.path', '/gcs/bucket/unlabelled'),
        ],
    )

    limitations = compile_vertex(recipe, tmp_path / 'job.json')

    spec = json.loads((tmp_path / 'job.json').read_text())['pipelineSpec']
    tasks = set(spec['root']['dag']['tasks'])
    assert {
        'ImageExampleGen',
        'Trainer',
        'Evaluator',
        'RobustnessEvaluator',
        'ModelGate',
        'Pusher',
    } <= tasks
    assert {'UnlabelledExampleGen', 'BulkInferrer'} <= tasks
    assert 'warm_start_resolver-model-resolver' in tasks
    assert not any(
        task.get('cachingOptions', {}).get('enableCache')
        for task in spec['root']['dag']['tasks'].values()
    )
    assert 'previous_statistics' not in tasks
    assert any('no rolling window' in limitation for limitation in limitations)
    assert any('no drift check' in limitation for limitation in limitations)


def test_rejects_rolling_window(tmp_path):
    recipe = load_recipe('demo', [('workdir', str(tmp_path)), ('data.window', 2)])

    with pytest.raises(ConfigError, match='no rolling window; use one span'):
        compile_vertex(recipe, tmp_path / 'job.json')


def test_rejects_records_in_several_spans(tmp_path):
    for split in ('train', 'eval', 'test'):
        folder = tmp_path / 'records' / 'span-3' / f'Split-{split}'
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / 'data_tfrecord-00000-of-00001')) as writer:
            writer.write(b'')
    data = {'source': 'canonical', 'path': str(tmp_path / 'records')}
    (tmp_path / 'records/span-3/manifest.json').write_text('{"source": {"classes": ["a", "b"]}}')
    recipe = load_recipe('demo', [('workdir', str(tmp_path)), ('data', data)])

    with pytest.raises(ConfigError, match='has several spans; Vertex AI needs the folder of one'):
        compile_vertex(recipe, tmp_path / 'job.json')


def test_rejects_file_name_that_is_not_json(tmp_path):
    with pytest.raises(ConfigError, match=r'give a name that ends in \.json'):
        compile_vertex(load_recipe('demo', [('workdir', str(tmp_path))]), tmp_path / 'job.yaml')

"""Nodes that evaluate, check and convert a model before it is pushed."""

import importlib.util

import pytest

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe
from pipeline.execution.recipe_checks import check_data
from pipeline.graph import create_pipeline


@pytest.fixture
def nodes(tmp_path):
    """`nodes(*overrides)`: the nodes of a pipeline by ID."""

    def make(*overrides):
        recipe = load_recipe('demo', [('workdir', str(tmp_path)), *overrides])
        return {node.id: node for node in create_pipeline(recipe, ('cat', 'dog'), 100).components}

    return make


def test_serving_check_is_always_included(nodes):
    created = nodes(('serving_check.seconds', 42))
    assert created['ServingCheck'].exec_properties['seconds'] == 42
    assert 'Converter' not in created


def test_models_are_converted_with_keys_of_the_recipe_between_gate_and_push(nodes):
    created = nodes(
        ('converter', {'formats': ['int8', 'onnx'], 'max_drop': 0}), ('trainer.threshold', 0.7)
    )
    converter = created['Converter']
    assert created['ModelGate'] in converter.upstream_nodes
    assert created['Pusher'] in converter.downstream_nodes
    given = {name: converter.exec_properties[name] for name in ('formats', 'max_drop', 'threshold')}
    assert given == {'formats': ['int8', 'onnx'], 'max_drop': 0, 'threshold': 0.7}


@pytest.mark.parametrize(
    'limit', [('margin', 0.01), ('floors', {'brightness.dark': 0.9}), ('max_megabytes', 9)]
)
def test_changed_limit_decides_again_but_evaluates_nothing_again(nodes, limit):
    key, value = limit
    before, after = nodes(), nodes((f'evaluation.{key}', value))
    changed = {
        name for name, node in before.items() if node.exec_properties != after[name].exec_properties
    }
    assert changed == {'ModelGate', 'Pusher'}  # the Pusher always runs


def test_int8_is_calibrated_on_all_spans_of_the_training(nodes, make_image_folder, tmp_path):
    make_image_folder(tmp_path / 'images' / '1', per_class=1)
    data = {'source': 'folder', 'path': str(tmp_path / 'images' / '{SPAN}')}
    created = nodes(('data', data), ('converter', {}))

    assert created['Converter'].inputs['examples'].output_key == 'trained'


@pytest.mark.parametrize('package', ['tf2onnx', 'onnx', 'onnxruntime'])
def test_missing_package_of_a_format_is_an_error_before_the_run(package, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == package else find(name)
    )
    with pytest.raises(ConfigError, match=rf'^converter\.formats: {package} is not installed'):
        check_data(load_recipe('demo', [('converter', {'formats': ['onnx']})]))

"""Nodes that check and convert a model before it is pushed."""

import json

import pytest
from tfx.orchestration.pipeline import Pipeline

from pipeline.config.recipe import load_recipe
from pipeline.graph import create_pipeline

CLASSES = ('cat', 'dog')


@pytest.fixture
def nodes(tmp_path):
    """`nodes(*overrides)`: the nodes of a pipeline by ID."""

    def make(*overrides):
        recipe = load_recipe('demo', [('workdir', str(tmp_path)), *overrides])
        pipeline: Pipeline = create_pipeline(recipe, CLASSES, 100)
        return {node.id: node for node in pipeline.components}

    return make


def test_serving_check_is_always_included(nodes):
    created = nodes(('serving_check.seconds', 42))
    config = json.loads(created['ServingCheck'].exec_properties['serving_check'])
    assert config['seconds'] == 42
    assert not {'LiteConverter', 'OnnxConverter'} & created.keys()


def test_lite_converter_uses_formats_and_threshold_of_recipe(nodes):
    node = nodes(('lite', {'formats': ['int8']}), ('trainer.threshold', 0.7))['LiteConverter']
    assert json.loads(node.exec_properties['lite'])['formats'] == ['int8']
    assert node.exec_properties['threshold'] == 0.7


def test_onnx_converter_uses_image_size_and_threshold_of_recipe(nodes):
    node = nodes(('onnx', {'max_drop': 0}), ('trainer.threshold', 0.7))['OnnxConverter']
    assert json.loads(node.exec_properties['onnx'])['max_drop'] == 0
    assert (node.exec_properties['image_size'], node.exec_properties['threshold']) == (96, 0.7)


def test_models_are_converted_between_gate_and_push(nodes):
    created = nodes(('lite', {}), ('onnx', {}))
    for name in ('LiteConverter', 'OnnxConverter'):
        assert created['ModelGate'] in created[name].upstream_nodes
        assert created['Pusher'] in created[name].downstream_nodes

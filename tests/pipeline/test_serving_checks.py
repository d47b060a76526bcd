"""Nodes that check and convert a model before it is pushed."""

import json

import pytest

from pipeline.config.recipe import load_recipe
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
    config = json.loads(created['ServingCheck'].exec_properties['serving_check'])
    assert config['seconds'] == 42
    assert not {'LiteConverter', 'OnnxConverter'} & created.keys()


def test_models_are_converted_with_keys_of_the_recipe_between_gate_and_push(nodes):
    created = nodes(
        ('lite', {'formats': ['int8']}), ('onnx', {'max_drop': 0}), ('trainer.threshold', 0.7)
    )
    lite, onnx = created['LiteConverter'], created['OnnxConverter']
    for node in (lite, onnx):
        assert node.exec_properties['threshold'] == 0.7
        assert created['ModelGate'] in node.upstream_nodes
        assert created['Pusher'] in node.downstream_nodes
    assert json.loads(lite.exec_properties['lite'])['formats'] == ['int8']
    assert json.loads(onnx.exec_properties['onnx'])['max_drop'] == 0
    assert onnx.exec_properties['image_size'] == 96

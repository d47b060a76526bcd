"""Nodes that check and convert a model before it is pushed."""

import json

import pytest
from google.protobuf import json_format
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe
from pipeline.graph import create_pipeline

CLASSES = ('cat', 'dog')
DOCKER = ('serving_check.infra_validator', {'platform': 'docker', 'tag': '2.15.0'})


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
    assert not {'InfraValidator', 'LiteConverter'} & set(created)


def test_infra_validator_uses_docker_image_of_recipe(nodes):
    node = nodes(DOCKER)['InfraValidator']
    spec = json_format.Parse(
        node.exec_properties['serving_spec'], infra_validator_pb2.ServingSpec()
    )
    assert spec.WhichOneof('serving_platform') == 'local_docker'
    assert spec.tensorflow_serving.image_name == 'tensorflow/serving'
    assert [*spec.tensorflow_serving.tags] == ['2.15.0']
    request = json_format.Parse(
        node.exec_properties['request_spec'], infra_validator_pb2.RequestSpec()
    )
    assert request.split_name == 'test'
    assert [*request.tensorflow_serving.signature_names] == ['serving_default']


def test_infra_validator_on_kubernetes_has_account_and_deadline(nodes):
    config = {'platform': 'kubernetes', 'service_account': 'server', 'seconds': 100}
    node = nodes(('serving_check.infra_validator', config))['InfraValidator']
    spec = json_format.Parse(
        node.exec_properties['serving_spec'], infra_validator_pb2.ServingSpec()
    )
    assert spec.WhichOneof('serving_platform') == 'kubernetes'
    assert spec.kubernetes.service_account_name == 'server'
    assert spec.kubernetes.active_deadline_seconds == 200


def test_infra_validator_requires_platform():
    with pytest.raises(ConfigError, match=r'serving_check\.infra_validator\.platform: missing'):
        load_recipe('demo', [('serving_check.infra_validator', {'tag': 'latest'})])


def test_lite_converter_uses_formats_and_threshold_of_recipe(nodes):
    node = nodes(('lite', {'formats': ['int8']}), ('trainer.threshold', 0.7))['LiteConverter']
    assert json.loads(node.exec_properties['lite'])['formats'] == ['int8']
    assert node.exec_properties['threshold'] == 0.7


def test_unknown_lite_format_lists_valid_ones():
    with pytest.raises(ConfigError, match=r"lite\.formats\.0: .*'float16' or 'int8'.*'int4'"):
        load_recipe('demo', [('lite', {'formats': ['int4']})])

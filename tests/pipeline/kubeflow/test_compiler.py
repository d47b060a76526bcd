"""The compiled Kubeflow spec of a recipe."""

import json

import kfp.components
import pytest
import yaml

from common.errors import ConfigError
from pipeline.config.kubeflow import NODE_TASKS
from pipeline.config.recipe import load_recipe
from pipeline.graph import create_pipeline
from pipeline.kubeflow.compiler import compile_kubeflow
from pipeline.kubeflow.nodes import task_of
from pipeline.kubeflow.run_inputs import recipe_of_run

KUBEFLOW = {
    'image': 'registry.example/catdog:1',
    'volumes': [
        {'claim': 'catdog-runs', 'path': '/runs'},
        {'claim': 'catdog-data', 'path': '/data'},
    ],
    'secrets': [{'secret': 'catdog-metadata', 'key': 'password', 'env': 'METADATA_PASSWORD'}],
    'tasks': {
        'default': {'memory': '2Gi', 'retries': 1},
        'train': {
            'cpu': 4,
            'cpu_limit': '8',
            'memory': '8Gi',
            'memory_limit': '16Gi',
            'gpus': 1,
            'retries': 3,
            'backoff_seconds': 10,
            'node_selector': {'pool': 'gpu'},
            'tolerations': [
                {'key': 'nvidia.com/gpu', 'effect': 'NoSchedule'},
                {'key': 'pool', 'value': 'gpu'},
            ],
            'timeout_seconds': 7200,
            'image': 'registry.example/catdog:1-cuda',
        },
    },
}
OVERRIDES = [
    ('data.source', 'folder'),
    ('data.path', '/data'),
    ('data.window', 3),
    ('workdir', '/runs'),
    ('trainer.warm_start', 'live'),
    ('kubeflow', KUBEFLOW),
    ('inference.path', '/data/unlabelled'),
    ('converter', {}),
]


class Compiled:
    """The two YAML documents of a compiled recipe."""

    def __init__(self):
        self.text = compile_kubeflow(load_recipe('demo', OVERRIDES))
        self.spec, platform = yaml.safe_load_all(self.text)
        self.on_kubernetes = platform['platforms']['kubernetes']['deploymentSpec']['executors']
        self.root = self.spec['root']['dag']['tasks']
        self.handled = self.spec['components']['comp-exit-handler-1']['dag']['tasks']
        (group,) = [each for name, each in self.handled.items() if name != 'decide']
        self.group = group
        self.tasks = self.spec['components'][group['componentRef']['name']]['dag']['tasks']
        self.parameters = {
            name: each['defaultValue']
            for name, each in self.spec['root']['inputDefinitions']['parameters'].items()
        }

    def container(self, task):
        return self.spec['deploymentSpec']['executors'][f'exec-{task}']['container']


@pytest.fixture(scope='module')
def compiled():
    return Compiled()


def test_kfp_loads_compiled_text(compiled):
    assert kfp.components.load_component_from_text(compiled.text).name == 'demo'


def test_a_run_has_seven_tasks_in_a_chain(compiled):
    chain = ['ingest', 'check-data', 'train', 'evaluate', 'push']
    assert set(compiled.root) == {'exit-handler-1', 'finish'}
    assert len(compiled.handled) == 2
    assert {name: task.get('dependentTasks', []) for name, task in compiled.tasks.items()} == {
        name: chain[max(0, number - 1) : number] for number, name in enumerate(chain)
    }


@pytest.mark.parametrize('more', [[], [('tuner', {'space': {'batch_size': [8, 16]}})]])
def test_each_node_of_the_graph_is_in_one_task_after_those_that_it_needs(tmp_path, more):
    places = [('workdir', str(tmp_path)), ('data.path', str(tmp_path))]
    recipe = load_recipe('demo', [*OVERRIDES, *places, *more])
    nodes = create_pipeline(recipe, ('a', 'b')).components
    assert {task_of(node.id) for node in nodes} == set(NODE_TASKS)
    for node in nodes:
        for upstream in node.upstream_nodes:
            before, after = task_of(upstream.id), task_of(node.id)
            assert NODE_TASKS.index(before) <= NODE_TASKS.index(after), (upstream.id, node.id)


def test_tasks_take_the_executor_input(compiled):
    assert compiled.container('train')['command'] == ['python', '-m', 'pipeline.kubeflow.task']
    train, push = (compiled.container(name)['args'] for name in ('train', 'push'))
    assert [*train[-4:], train[:6]] == [
        'train',
        '{{$}}',
        '--gpus',
        '1',
        ['--retries', '3', '--backoff', '10', '--timeout', '7200'],
    ]
    report = "{{$.outputs.artifacts['report'].path}}"
    assert push[-4:] == ['push', '{{$}}', '--report', report]
    outputs = compiled.spec['components']['comp-push']['outputDefinitions']['artifacts']
    types = {name: each['artifactType']['schemaTitle'] for name, each in outputs.items()}
    assert types == {'metrics': 'system.Metrics', 'report': 'system.HTML'}


def test_all_tasks_depend_on_the_first_one_and_take_its_outputs(compiled):
    assert compiled.group['dependentTasks'] == ['decide']
    assert compiled.group['triggerPolicy']['condition'].endswith("decide-train'] == 'true'")
    outputs = {'recipe': 'merged_recipe', 'classes': 'classes', 'images': 'images'}
    for task in compiled.tasks.values():
        inputs = {**task['inputs']['parameters']}
        assert inputs.pop('run_id')['runtimeValue']['constant'] == '{{$.pipeline_job_uuid}}'
        assert inputs == {
            name: {'componentInputParameter': f'pipelinechannel--decide-{output}'}
            for name, output in outputs.items()
        }


def test_finish_runs_after_success_failure_and_stop(compiled):
    finish = compiled.root['finish']
    assert finish['dependentTasks'] == ['exit-handler-1']
    assert finish['triggerPolicy'] == {'strategy': 'ALL_UPSTREAM_TASKS_COMPLETED'}
    assert set(finish['inputs']['parameters']) == {'recipe', 'overrides', 'run_id'}


def test_caching_is_disabled_for_all_tasks(compiled):
    tasks = [*compiled.tasks.values(), *compiled.handled.values(), *compiled.root.values()]
    assert not any(task.get('cachingOptions', {}).get('enableCache') for task in tasks)


def test_parameters_have_all_keys_so_that_defaults_of_a_newer_image_change_nothing(compiled):
    every_key = load_recipe('demo', OVERRIDES).model_dump(mode='json', exclude={'kubeflow'})

    assert json.loads(compiled.parameters['recipe']) == every_key
    assert every_key['trainer']['batch_size']  # which the recipe does not state
    assert (compiled.parameters['overrides'], compiled.parameters['only_when_new']) == ([], False)


def test_overrides_change_the_compiled_recipe(compiled):
    overrides = ['trainer.seed=7', 'data.path=/other', 'data.splits={train: 8}']

    recipe = recipe_of_run({**compiled.parameters, 'overrides': overrides})

    assert (recipe.trainer.seed, recipe.data.splits.train) == (7, 8)
    assert (str(recipe.data.path), str(recipe.workdir)) == ('/other', '/runs')


def test_tasks_have_resources_image_and_placement_of_recipe(compiled):
    train = compiled.container('train')
    assert train['image'] == 'registry.example/catdog:1-cuda'
    assert train['resources']['accelerator']['resourceType'] == 'nvidia.com/gpu'
    assert train['resources']['accelerator']['resourceCount'] == '1'
    assert train['resources'].items() >= {
        ('resourceCpuRequest', '4'),
        ('resourceCpuLimit', '8'),
        ('resourceMemoryRequest', '8Gi'),
        ('resourceMemoryLimit', '16Gi'),
    }
    pod = compiled.on_kubernetes['exec-train']
    assert pod['nodeSelector']['labels'] == {'pool': 'gpu'}
    assert pod['tolerations'] == [
        {'key': 'nvidia.com/gpu', 'operator': 'Exists', 'effect': 'NoSchedule'},
        {'key': 'pool', 'operator': 'Equal', 'value': 'gpu'},
    ]
    evaluate = compiled.container('evaluate')
    assert evaluate['image'] == 'registry.example/catdog:1'
    assert evaluate['resources']['resourceMemoryRequest'] == '2Gi'
    assert not {'nodeSelector', 'tolerations'} & compiled.on_kubernetes['exec-evaluate'].keys()


def test_the_deadline_of_a_pod_is_after_all_attempts(compiled):
    seconds = int(compiled.on_kubernetes['exec-train']['activeDeadlineSeconds'])
    assert seconds >= 4 * 7200 + 10 + 20 + 40


def test_lost_pods_are_repeated_also_after_an_hour(compiled):
    assert compiled.tasks['train']['retryPolicy'] == {
        'maxRetryCount': 3,
        'backoffDuration': '10s',
        'backoffFactor': 2.0,
        'backoffMaxDuration': '2592000s',
    }
    assert compiled.tasks['evaluate']['retryPolicy']['maxRetryCount'] == 1
    assert 'retryPolicy' not in compiled.handled['decide']
    assert 'retryPolicy' not in compiled.root['finish']


@pytest.mark.parametrize('task', ['decide', 'train', 'finish'])
def test_pods_have_volumes_and_secrets(compiled, task):
    pod = compiled.on_kubernetes[f'exec-{task}']
    mounts = {each['constant']: each['mountPath'] for each in pod['pvcMount']}
    assert mounts == {'catdog-runs': '/runs', 'catdog-data': '/data'}
    assert pod['secretAsEnv'][0]['secretName'] == 'catdog-metadata'
    assert pod['secretAsEnv'][0]['keyToEnv'] == [
        {'envVar': 'METADATA_PASSWORD', 'secretKey': 'password'}
    ]


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('kubeflow.volumes', [{'claim': '{{$}}', 'path': '/a'}]),
        ('kubeflow.tasks', {'train': {'node_selector': {'{{$}}': 'a'}}}),
    ],
)
def test_rejects_placeholders_in_settings_of_pods(key, value):
    with pytest.raises(ConfigError, match=r'kubeflow: a value has \{\{, and Kubeflow would'):
        load_recipe('demo', [(key, value)])


def test_url_with_credentials_comes_from_a_secret():
    keys = [('data', {'source': 'archive', 'url': 'https://ada:hunter2@host/a.zip?token=hunter2'})]
    with pytest.raises(ConfigError, match=r'to kubeflow\.secrets with env: CATDOG_DATA_URL'):
        compile_kubeflow(load_recipe('demo', keys))

    keys.append(('kubeflow.secrets', [{'secret': 'pets', 'key': 'url', 'env': 'CATDOG_DATA_URL'}]))
    text = compile_kubeflow(load_recipe('demo', keys))
    assert 'https://***@host/a.zip?***' in text
    assert 'hunter2' not in text


OBJECT = [
    ('workdir', 's3://pets/runs'),
    ('metadata.address', 'grpc://metadata:8080'),
    ('kubeflow.storage', 'object'),
    ('kubeflow.scratch', '5Gi'),
]


def test_runs_in_object_storage_need_no_claim():
    spec, platform = yaml.safe_load_all(compile_kubeflow(load_recipe('demo', OBJECT)))
    for pod in platform['platforms']['kubernetes']['deploymentSpec']['executors'].values():
        assert 'pvcMount' not in pod
        (scratch,) = pod['emptyDirMounts']
        assert (scratch['mountPath'], scratch['sizeLimit']) == ('/scratch', '5Gi')
    for executor in spec['deploymentSpec']['executors'].values():
        assert {'name': 'CATDOG_CACHE', 'value': '/scratch'} in executor['container']['env']
    recipe = json.loads(spec['root']['inputDefinitions']['parameters']['recipe']['defaultValue'])
    assert recipe['workdir'] == 's3://pets/runs'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'workdir': '/runs'}, r'storage is object, but workdir is /runs'),
        ({'kubeflow.storage': 'volume'}, r'storage is volume, but workdir is s3://pets/runs'),
        ({'metadata.address': 'sqlite'}, r'sqlite, which is a file'),
    ],
)
def test_storage_workdir_and_metadata_must_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        compile_kubeflow(load_recipe('demo', [*OBJECT, *changes.items()]))

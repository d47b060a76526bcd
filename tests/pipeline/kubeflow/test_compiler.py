"""The compiled Kubeflow spec of a recipe."""

import json

import kfp.components
import pytest
import yaml

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.compiler import compile_kubeflow
from pipeline.kubeflow.task import apply_parameters

KUBEFLOW = {
    'image': 'registry.example/catdog:1',
    'volumes': [
        {'claim': 'catdog-runs', 'path': '/runs'},
        {'claim': 'catdog-data', 'path': '/data'},
    ],
    'secrets': [{'secret': 'catdog-metadata', 'key': 'password', 'env': 'METADATA_PASSWORD'}],
    'environment': {'TZ': 'Europe/Berlin'},
    'image_pull_secrets': ['registry'],
    'tasks': {
        'default': {'memory': '2Gi', 'retries': 1},
        'Trainer': {
            'cpu': 4,
            'cpu_limit': '8',
            'memory': '8Gi',
            'memory_limit': '16Gi',
            'gpus': 1,
            'retries': 3,
            'backoff_seconds': 10,
            'node_selector': {'pool': 'gpu'},
        },
    },
}
OVERRIDES = [
    ('data.source', 'folder'),
    ('data.path', '/data'),
    ('data.window', 3),
    ('workdir', '/runs'),
    ('trainer.warm_start', 'latest_blessed'),
    ('kubeflow', KUBEFLOW),
    ('inference.path', '/data/unlabelled'),
    ('lite', {}),
    ('metadata.address', 'mysql://catdog@catdog-metadata:3306/metadb'),
]


class Compiled:
    """The two YAML documents of a compiled file."""

    def __init__(self, path):
        self.path = path
        self.spec, self.platform = yaml.safe_load_all(path.read_text())
        (group,) = [each for each in self.spec['components'].values() if 'dag' in each]
        self.tasks = group['dag']['tasks']
        self.parameters = self.spec['root']['inputDefinitions']['parameters']

    def container(self, task):
        return self.spec['deploymentSpec']['executors'][f'exec-{task}']['container']

    def on_kubernetes(self, task):
        executors = self.platform['platforms']['kubernetes']['deploymentSpec']['executors']
        return executors[f'exec-{task}']


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    path = tmp_path_factory.mktemp('compiled') / 'pipeline.yaml'
    compile_kubeflow(load_recipe('demo', OVERRIDES), path)
    return Compiled(path)


def test_kfp_loads_compiled_file(compiled):
    assert kfp.components.load_component_from_file(str(compiled.path)).name == 'demo'


def test_tasks_have_dependencies_of_the_graph(compiled):
    dependencies = {
        name: set(task.get('dependentTasks', [])) for name, task in compiled.tasks.items()
    }
    assert dependencies == {
        'imageexamplegen': set(),
        'importschemagen': set(),
        'warm-start-resolver': set(),
        'newest-spans': {'imageexamplegen'},
        'statisticsgen': {'newest-spans'},
        'examplevalidator': {'statisticsgen', 'importschemagen'},
        'previous-statistics': {'statisticsgen'},
        'anomalygate': {'examplevalidator', 'statisticsgen', 'previous-statistics'},
        'transform': {'imageexamplegen', 'importschemagen', 'anomalygate'},
        'trainer': {'imageexamplegen', 'transform', 'warm-start-resolver'},
        'baseline-resolver': {'trainer'},
        'evaluator': {'newest-spans', 'trainer', 'baseline-resolver'},
        'servingcheck': {'trainer'},
        'liteconverter': {'newest-spans', 'trainer', 'transform'},
        'modelgate': {
            'trainer',
            'baseline-resolver',
            'evaluator',
            'servingcheck',
        },
        'pusher': {
            'imageexamplegen',
            'trainer',
            'evaluator',
            'robustnessevaluator',
            'liteconverter',
            'modelgate',
        },
        'robustnessevaluator': {'newest-spans', 'trainer'},
        'unlabelledexamplegen': set(),
        'bulkinferrer': {'unlabelledexamplegen', 'trainer', 'modelgate'},
    }


def test_all_tasks_depend_on_decision(compiled):
    tasks = compiled.spec['root']['dag']['tasks']
    (group,) = [task for name, task in tasks.items() if name != 'decision']
    assert group['dependentTasks'] == ['decision']
    assert group['triggerPolicy']['condition'].endswith("decision-train'] == 'true'")


def test_tasks_have_display_names(compiled):
    names = [task['taskInfo']['name'] for task in compiled.tasks.values()]
    assert {'ImageExampleGen', 'WarmStartResolver', 'NewestSpans', 'Trainer'} <= set(names)


def test_caching_is_disabled_for_all_tasks(compiled):
    tasks = [*compiled.tasks.values(), *compiled.spec['root']['dag']['tasks'].values()]
    assert not any(task.get('cachingOptions', {}).get('enableCache') for task in tasks)


def test_parameters_default_to_recipe(compiled):
    defaults = {name: each['defaultValue'] for name, each in compiled.parameters.items()}
    json.loads(defaults.pop('recipe'))
    assert defaults == {
        'data_path': '/data',
        'workdir': '/runs',
        'pipeline_root': '',
        'push_directory': '',
        'metadata_address': 'mysql://catdog@catdog-metadata:3306/metadb',
        'overrides': [],
        'only_when_new': False,
    }


def test_compiled_recipe_round_trips(compiled):
    values = json.loads(compiled.parameters['recipe']['defaultValue'])

    recipe = apply_parameters(values, {})

    expected = load_recipe('demo', OVERRIDES)
    assert recipe.model_dump(exclude={'kubeflow'}) == expected.model_dump(exclude={'kubeflow'})


def test_parameters_override_recipe_keys(compiled):
    values = json.loads(compiled.parameters['recipe']['defaultValue'])
    overrides = json.dumps(['trainer.seed=7', 'data.splits={train: 8}'])

    recipe = apply_parameters(values, {'data_path': '/other', 'overrides': overrides})

    assert (recipe.trainer.seed, recipe.data.splits.train) == (7, 8)
    assert str(recipe.data.path) == '/other'


def test_all_tasks_receive_run_id(compiled):
    for task in compiled.tasks.values():
        constant = task['inputs']['parameters']['run_id']['runtimeValue']['constant']
        assert constant == '{{$.pipeline_job_uuid}}'


def test_trainer_has_resources_of_recipe(compiled):
    assert compiled.container('trainer')['resources'].items() >= {
        ('resourceCpuRequest', '4'),
        ('resourceCpuLimit', '8'),
        ('resourceMemoryRequest', '8Gi'),
        ('resourceMemoryLimit', '16Gi'),
    }
    accelerator = compiled.container('trainer')['resources']['accelerator']
    assert (accelerator['resourceType'], accelerator['resourceCount']) == ('nvidia.com/gpu', '1')
    assert compiled.on_kubernetes('trainer')['nodeSelector']['labels'] == {'pool': 'gpu'}
    assert compiled.tasks['trainer']['retryPolicy']['maxRetryCount'] == 3


def test_other_tasks_have_default_resources(compiled):
    assert compiled.container('evaluator')['resources']['resourceMemoryRequest'] == '2Gi'
    assert compiled.tasks['evaluator']['retryPolicy']['maxRetryCount'] == 1
    assert 'nodeSelector' not in compiled.on_kubernetes('evaluator')


@pytest.mark.parametrize('task', ['decision', 'imageexamplegen', 'trainer', 'pusher'])
def test_pods_have_volumes_secrets_and_environment(compiled, task):
    pod = compiled.on_kubernetes(task)
    mounts = {each['constant']: each['mountPath'] for each in pod['pvcMount']}
    assert mounts == {'catdog-runs': '/runs', 'catdog-data': '/data'}
    assert pod['secretAsEnv'][0]['secretName'] == 'catdog-metadata'
    assert pod['secretAsEnv'][0]['keyToEnv'] == [
        {'envVar': 'METADATA_PASSWORD', 'secretKey': 'password'}
    ]
    assert pod['imagePullSecret'][0]['secretName'] == 'registry'
    assert compiled.container(task)['env'] == [{'name': 'TZ', 'value': 'Europe/Berlin'}]
    assert compiled.container(task)['image'] == 'registry.example/catdog:1'


def test_pusher_outputs_metrics_and_report(compiled):
    outputs = compiled.spec['components']['comp-pusher']['outputDefinitions']['artifacts']
    types = {name: each['artifactType']['schemaTitle'] for name, each in outputs.items()}
    assert types == {'verdict': 'system.Metrics', 'report': 'system.HTML'}


def test_tasks_receive_outputs_of_decision(compiled):
    for task in compiled.tasks.values():
        parameters = task['inputs']['parameters']
        for name in ('classes', 'images'):
            source = parameters[name]['componentInputParameter']
            assert source == f'pipelinechannel--decision-{name}'


def test_warns_of_settings_that_need_one_machine(tmp_path):
    recipe = load_recipe('demo', [('workdir', '/runs'), ('inference.path', '/photographs')])

    warnings = compile_kubeflow(recipe, tmp_path / 'pipeline.yaml')

    assert warnings == (
        'metadata.address is sqlite; concurrent pods need MySQL or gRPC.',
        'workdir is /runs, which is not on any of kubeflow.volumes.',
        'inference.path is /photographs, which is not on any of kubeflow.volumes.',
    )


def test_cluster_recipe_has_no_warnings(tmp_path):
    assert compile_kubeflow(load_recipe('demo', OVERRIDES), tmp_path / 'pipeline.yaml') == ()


def test_rejects_unknown_task(tmp_path):
    recipe = load_recipe('demo', [('kubeflow.tasks', {'Trainr': {}})])

    with pytest.raises(ConfigError, match='unknown task Trainr; use default, ImageExampleG'):
        compile_kubeflow(recipe, tmp_path / 'pipeline.yaml')


def test_rejects_file_name_that_is_not_yaml(tmp_path):
    with pytest.raises(ConfigError, match=r'give a name that ends in \.yaml'):
        compile_kubeflow(load_recipe('demo'), tmp_path / 'pipeline.txt')

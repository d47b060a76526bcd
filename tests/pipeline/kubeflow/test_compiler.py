"""The compiled Kubeflow spec of a recipe."""

import json
import resource

import kfp.components
import pytest
import yaml

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.compiler import compile_kubeflow
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
        'Trainer': {
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
    ('trainer.warm_start', 'latest_blessed'),
    ('kubeflow', KUBEFLOW),
    ('inference.path', '/data/unlabelled'),
    ('lite', {}),
    ('onnx', {}),
    ('metadata.address', 'mysql://catdog@catdog-metadata:3306/metadb'),
]


class Compiled:
    """The two YAML documents of a compiled file."""

    def __init__(self, path):
        self.warnings = compile_kubeflow(load_recipe('demo', OVERRIDES), path)
        self.path = path
        self.spec, self.platform = yaml.safe_load_all(path.read_text())
        self.root = self.spec['root']['dag']['tasks']
        self.handled = self.spec['components']['comp-exit-handler-1']['dag']['tasks']
        (group,) = [each for name, each in self.handled.items() if name != 'decision']
        self.group = group
        self.tasks = self.spec['components'][group['componentRef']['name']]['dag']['tasks']
        self.parameters = {
            name: each['defaultValue']
            for name, each in self.spec['root']['inputDefinitions']['parameters'].items()
        }

    def container(self, task):
        return self.spec['deploymentSpec']['executors'][f'exec-{task}']['container']

    def on_kubernetes(self, task):
        executors = self.platform['platforms']['kubernetes']['deploymentSpec']['executors']
        return executors[f'exec-{task}']


RESOLVERS = ('baseline-resolver', 'anchor-resolver')
PREDICTORS = ('predictor', 'live-predictor', 'best-predictor')


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    return Compiled(tmp_path_factory.mktemp('compiled') / 'pipeline.yaml')


def test_kfp_loads_compiled_file(compiled):
    assert kfp.components.load_component_from_file(str(compiled.path)).name == 'demo'


@pytest.mark.parametrize(
    ('task', 'upstream'),
    [
        ('imageexamplegen', set()),
        ('newest-spans', {'imageexamplegen'}),
        ('previous-statistics', {'statisticsgen'}),
        ('transform', {'newest-spans', 'importschemagen', 'anomalygate'}),
        ('trainer', {'newest-spans', 'transform', 'warm-start-resolver'}),
        ('live-predictor', {'newest-spans', 'baseline-resolver'}),
        ('modelgate', {'trainer', *RESOLVERS, 'evaluator', 'servingcheck'}),
        ('heldoutfilter', {'newest-spans', 'trainer', *RESOLVERS}),
        ('evaluator', {*PREDICTORS, 'heldoutfilter'}),
        ('bulkinferrer', {'unlabelledexamplegen', 'trainer', 'modelgate'}),
    ],
)
def test_tasks_have_dependencies_of_the_graph(compiled, task, upstream):
    assert set(compiled.tasks[task].get('dependentTasks', [])) == upstream


def test_tasks_take_the_executor_input(compiled):
    assert compiled.container('trainer')['command'] == ['python', '-m', 'pipeline.kubeflow.task']
    assert compiled.container('trainer')['args'] == ['Trainer', '{{$}}', '--gpus', '1']
    assert compiled.container('evaluator')['args'] == ['Evaluator', '{{$}}']
    assert compiled.container('pusher')['args'][2:] == [
        '--verdict',
        "{{$.outputs.artifacts['verdict'].path}}",
        '--report',
        "{{$.outputs.artifacts['report'].path}}",
    ]


def test_all_tasks_depend_on_decision_and_take_its_outputs(compiled):
    assert compiled.group['dependentTasks'] == ['decision']
    assert compiled.group['triggerPolicy']['condition'].endswith("decision-train'] == 'true'")
    outputs = {'recipe': 'merged_recipe', 'classes': 'classes', 'images': 'images'}
    for task in compiled.tasks.values():
        inputs = task['inputs']['parameters']
        assert inputs.pop('run_id')['runtimeValue']['constant'] == '{{$.pipeline_job_uuid}}'
        assert inputs == {
            name: {'componentInputParameter': f'pipelinechannel--decision-{output}'}
            for name, output in outputs.items()
        }


def test_finish_runs_after_success_failure_and_stop(compiled):
    finish = compiled.root['finish']
    assert finish['dependentTasks'] == ['exit-handler-1']
    assert finish['triggerPolicy'] == {'strategy': 'ALL_UPSTREAM_TASKS_COMPLETED'}
    # Releases before 2.14 refuse a final status.
    assert set(finish['inputs']['parameters']) == {'recipe', 'overrides', 'run_id'}


def test_nodes_have_display_names(compiled):
    names = [task['taskInfo']['name'] for task in compiled.tasks.values()]
    assert {'ImageExampleGen', 'WarmStartResolver', 'NewestSpans', 'Trainer'} <= set(names)


def test_tasks_whose_outputs_are_read_have_no_display_name(compiled):
    dags = [compiled.root, compiled.handled, compiled.tasks]
    producers = {
        (name, dag[name]['taskInfo']['name'])
        for dag in dags
        for task in dag.values()
        for source in task['inputs']['parameters'].values()
        for name in [source.get('taskOutputParameter', {}).get('producerTask')]
        if name
    }
    assert producers == {('decision', 'decision')}


def test_caching_is_disabled_for_all_tasks(compiled):
    tasks = [*compiled.tasks.values(), *compiled.handled.values(), *compiled.root.values()]
    assert not any(task.get('cachingOptions', {}).get('enableCache') for task in tasks)


def test_parameters_default_to_recipe(compiled):
    recipe = recipe_of_run(compiled.parameters)

    expected = load_recipe('demo', OVERRIDES)
    assert recipe.model_dump(exclude={'kubeflow'}) == expected.model_dump(exclude={'kubeflow'})
    assert {**compiled.parameters, 'recipe': ''} == {
        'recipe': '',
        'overrides': [],
        'only_when_new': False,
    }


def test_compiled_recipe_has_all_keys_so_that_defaults_of_a_newer_image_change_nothing(compiled):
    every_key = load_recipe('demo', OVERRIDES).model_dump(mode='json', exclude={'kubeflow'})

    assert json.loads(compiled.parameters['recipe']) == every_key
    assert every_key['trainer']['batch_size']  # which the recipe does not state


def test_overrides_change_the_compiled_recipe(compiled):
    overrides = ['trainer.seed=7', 'data.path=/other', 'data.splits={train: 8}']

    recipe = recipe_of_run({**compiled.parameters, 'overrides': overrides})

    assert (recipe.trainer.seed, recipe.data.splits.train) == (7, 8)
    assert (str(recipe.data.path), str(recipe.workdir)) == ('/other', '/runs')


def test_tasks_have_resources_and_placement_of_recipe(compiled):
    resources = compiled.container('trainer')['resources']
    assert resources['accelerator']['resourceType'] == 'nvidia.com/gpu'
    assert resources['accelerator']['resourceCount'] == '1'
    assert resources.items() >= {
        ('resourceCpuRequest', '4'),
        ('resourceCpuLimit', '8'),
        ('resourceMemoryRequest', '8Gi'),
        ('resourceMemoryLimit', '16Gi'),
    }
    assert compiled.on_kubernetes('trainer')['nodeSelector']['labels'] == {'pool': 'gpu'}
    assert compiled.on_kubernetes('trainer')['tolerations'] == [
        {'key': 'nvidia.com/gpu', 'operator': 'Exists', 'effect': 'NoSchedule'},
        {'key': 'pool', 'operator': 'Equal', 'value': 'gpu'},
    ]
    assert compiled.container('evaluator')['resources']['resourceMemoryRequest'] == '2Gi'
    assert 'nodeSelector' not in compiled.on_kubernetes('evaluator')
    assert 'tolerations' not in compiled.on_kubernetes('evaluator')


@pytest.mark.parametrize(('task', 'seconds'), [('trainer', '7200'), ('decision', '86400')])
def test_pods_have_timeouts(compiled, task, seconds):
    assert compiled.on_kubernetes(task)['activeDeadlineSeconds'] == seconds


def test_tasks_have_retries_that_do_not_end_after_an_hour(compiled):
    assert compiled.tasks['trainer']['retryPolicy'] == {
        'maxRetryCount': 3,
        'backoffDuration': '10s',
        'backoffFactor': 2.0,
        'backoffMaxDuration': '2592000s',
    }
    assert compiled.tasks['evaluator']['retryPolicy']['maxRetryCount'] == 1
    assert compiled.root['finish']['retryPolicy']['backoffMaxDuration'] == '2592000s'


def test_decision_is_not_retried(compiled):
    assert 'retryPolicy' not in compiled.handled['decision']


def test_task_has_its_own_image(compiled):
    assert compiled.container('trainer')['image'] == 'registry.example/catdog:1-cuda'


@pytest.mark.parametrize('task', ['decision', 'imageexamplegen', 'trainer', 'pusher'])
def test_pods_have_volumes_and_secrets(compiled, task):
    pod = compiled.on_kubernetes(task)
    mounts = {each['constant']: each['mountPath'] for each in pod['pvcMount']}
    assert mounts == {'catdog-runs': '/runs', 'catdog-data': '/data'}
    assert pod['secretAsEnv'][0]['secretName'] == 'catdog-metadata'
    assert pod['secretAsEnv'][0]['keyToEnv'] == [
        {'envVar': 'METADATA_PASSWORD', 'secretKey': 'password'}
    ]
    assert compiled.container('pusher')['image'] == 'registry.example/catdog:1'


def test_pusher_outputs_metrics_and_report(compiled):
    outputs = compiled.spec['components']['comp-pusher']['outputDefinitions']['artifacts']
    types = {name: each['artifactType']['schemaTitle'] for name, each in outputs.items()}
    assert types == {'verdict': 'system.Metrics', 'report': 'system.HTML'}


def test_cluster_recipe_has_no_warnings(compiled):
    assert compiled.warnings == ()


def test_warns_of_settings_that_need_one_machine(tmp_path):
    recipe = load_recipe('demo', [('workdir', '/runs'), ('inference.path', '/photographs')])

    warnings = compile_kubeflow(recipe, tmp_path / 'pipeline.yaml')

    assert warnings == (
        'metadata.address is sqlite; concurrent pods need MySQL or gRPC.',
        'workdir is /runs, which is not on any of kubeflow.volumes.',
        'inference.path is /photographs, which is not on any of kubeflow.volumes.',
    )


def test_full_disk_keeps_the_compiled_pipeline(tmp_path):
    path = tmp_path / 'pipeline.yaml'
    path.write_text('before')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large') as error:
            compile_kubeflow(load_recipe('demo'), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert error.value.filename == str(path)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {path.name: 'before'}


def test_rejects_unknown_task(tmp_path):
    recipe = load_recipe('demo', [('kubeflow.tasks', {'Trainr': {}})])

    with pytest.raises(ConfigError, match='unknown task Trainr; use default, ImageExampleG'):
        compile_kubeflow(recipe, tmp_path / 'pipeline.yaml')
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('kubeflow.volumes', [{'claim': '{{$}}', 'path': '/a'}]),
        ('kubeflow.tasks', {'Trainer': {'node_selector': {'{{$}}': 'a'}}}),
    ],
)
def test_rejects_placeholders_in_settings_of_pods(key, value):
    with pytest.raises(ConfigError, match=r'kubeflow: a value has \{\{, and Kubeflow would'):
        load_recipe('demo', [(key, value)])


def test_url_with_credentials_comes_from_a_secret(tmp_path):
    keys = [('data', {'source': 'archive', 'url': 'https://ada:hunter2@host/a.zip?token=hunter2'})]
    path = tmp_path / 'pipeline.yaml'

    with pytest.raises(ConfigError, match=r'to kubeflow\.secrets with env: CATDOG_DATA_URL'):
        compile_kubeflow(load_recipe('demo', keys), path)

    keys.append(('kubeflow.secrets', [{'secret': 'pets', 'key': 'url', 'env': 'CATDOG_DATA_URL'}]))
    compile_kubeflow(load_recipe('demo', keys), path)
    assert 'https://***@host/a.zip?***' in path.read_text()
    assert 'hunter2' not in path.read_text()

"""How Kubeflow's driver and launcher treat the compiled pipeline; tasks only copy their input."""

import json

import pytest
import yaml
from kubeflow_emulator import KubeflowRun

from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.compiler import compile_kubeflow

RELEASES = ('2.5', '2.14')
TEXT = "{{$}} {{{$.inputs.parameters['run_id']}}} {{workflow.name}} $(TZ) $ \\{{ \\$ {{{{"
# Writes its input next to the outputs, and as each output; exits with 2 in the task of `FAIL`.
TASK = """
import json, os, pathlib, sys
node, text = sys.argv[1:3]
outputs = json.loads(text)['outputs']
values = {'train': 'true', 'merged_recipe': json.loads(text)['inputs']['parameterValues']['recipe']}
folder = pathlib.Path(outputs['outputFile']).parent
folder.mkdir(parents=True, exist_ok=True)
(folder / 'input.json').write_text(text)
for key in outputs.get('parameters', {}):
    (folder / key).write_text(values.get(key, key))
sys.exit(2 * (os.environ['FAIL'] == node))
"""


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    """The two documents of a compiled recipe with placeholders in its texts."""
    path = tmp_path_factory.mktemp('compiled') / 'pipeline.yaml'
    texts = [('description', TEXT), ('report.intended_use', TEXT)]
    compile_kubeflow(load_recipe('demo', [*texts, ('kubeflow.environment', {'TZ': 'CET'})]), path)
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture
def run(compiled, tmp_path):
    """`run(release, fail='Trainer', edit=function)` runs tasks that copy their input."""

    def execute(release, fail='', edit=None, **parameters):
        spec, platform = json.loads(json.dumps(compiled))
        for executor in spec['deploymentSpec']['executors'].values():
            container = executor['container']
            container['command'] = ['python', '-c', TASK]
            container['env'].append({'name': 'FAIL', 'value': fail})
        if edit:
            edit(spec)
        package = tmp_path / 'pipeline.yaml'
        package.write_text(yaml.safe_dump_all([spec, platform]))
        done = KubeflowRun(package, tmp_path, release=release, **parameters)
        done.execute()
        return done

    return execute


def inputs_of(run, task):
    text = (run.finished[task].folder / 'input.json').read_text()
    return json.loads(text)['inputs']['parameterValues']


@pytest.mark.parametrize('release', RELEASES)
def test_texts_of_the_recipe_reach_all_tasks_unchanged(run, release):
    done = run(release, only=['decision', 'trainer', 'pusher', 'finish'])

    assert {task: result.code for task, result in done.finished.items()} == {
        'decision': 0,
        'trainer': 0,
        'pusher': 0,
        'finish': 0,
    }
    for task in done.finished:
        recipe = json.loads(inputs_of(done, task)['recipe'])
        assert (recipe['description'], recipe['report']['intended_use']) == (TEXT, TEXT)


def test_placeholder_in_override_is_replaced(run):
    """Users enter overrides in a form of Kubeflow, where nothing escapes them."""
    overrides = ["description={{$.inputs.parameters['run_id']}}"]
    done = run('2.14', only=['decision', 'finish'], overrides=overrides)

    for task in done.finished:
        inputs = inputs_of(done, task)
        assert inputs['overrides'] == [f'description={inputs["run_id"]}']


def name_decision(spec):
    tasks = spec['components']['comp-exit-handler-1']['dag']['tasks']
    tasks['decision']['taskInfo']['name'] = 'Anything new?'


def test_release_2_5_finds_tasks_by_display_name(run):
    tasks = ['decision', 'trainer']
    assert list(run('2.14', edit=name_decision, only=tasks).finished) == tasks
    with pytest.raises(KeyError, match='decision'):
        run('2.5', edit=name_decision, only=tasks)


@pytest.mark.parametrize(('release', 'attempts'), [('2.5', 1), ('2.14', 3)])
def test_failed_component_is_retried_since_2_14(run, release, attempts):
    done = run(release, fail='Trainer', only=['decision', 'trainer', 'pusher', 'finish'])

    assert list(done.finished) == ['decision', 'trainer', 'finish']
    trainer = done.finished['trainer']
    assert (trainer.code, trainer.attempts) == (1, attempts)  # the pod ends with 1, the task with 2


@pytest.mark.parametrize('release', RELEASES)
def test_failed_decision_is_not_retried_and_nothing_but_finish_follows(run, release):
    done = run(release, fail='decision')

    assert list(done.finished) == ['decision', 'finish']
    assert (done.finished['decision'].code, done.finished['decision'].attempts) == (1, 1)


@pytest.mark.parametrize(
    'parameters', [{'overrides': '["trainer.seed=7"]'}, {'only_when_new': 'true'}, {'seed': 7}]
)
def test_parameter_of_wrong_type_or_name_is_refused(run, parameters):
    with pytest.raises(ValueError, match=f'parameter {next(iter(parameters))}: '):
        run('2.14', **parameters)

"""How Kubeflow's driver and launcher treat the compiled pipeline; tasks only copy their input.

They are emulated, and then those of a release if they are given.
"""

import json

import pytest
import yaml

from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.compiler import compile_kubeflow

pytestmark = pytest.mark.slow

ENGINES = ('emulated', 'programs')
TEXT = "{{$}} {{{$.inputs.parameters['run_id']}}} {{workflow.name}} $(TZ) $ \\{{ \\$ {{{{"
# Writes its input next to the outputs, and each output. The task of `FAIL` exits with 2.
TASK = """
import json, os, pathlib, sys
task, text = sys.argv[7:9]
outputs = json.loads(text)['outputs']
values = {'train': 'true', 'merged_recipe': json.loads(text)['inputs']['parameterValues']['recipe']}
folder = pathlib.Path(outputs['outputFile']).parent
(folder / 'input.json').write_text(text)
for key, each in outputs.get('parameters', {}).items():
    pathlib.Path(each['outputFile']).write_text(values.get(key, key))
sys.exit(2 * (os.environ['FAIL'] == task))
"""


@pytest.fixture(scope='module')
def compiled():
    """The two documents of a compiled recipe with placeholders in its texts."""
    texts = [('description', TEXT), ('report.intended_use', TEXT)]
    return list(yaml.safe_load_all(compile_kubeflow(load_recipe('demo', texts))))


@pytest.fixture(params=ENGINES)
def run(request, kubeflow, compiled, tmp_path):
    """`run(fail='train')` runs tasks that copy their input."""
    create_run = kubeflow(request.param)

    def execute(fail='', lose=(), **parameters):
        spec, platform = json.loads(json.dumps(compiled))
        for executor in spec['deploymentSpec']['executors'].values():
            container = executor['container']
            container['command'] = ['python', '-c', TASK]
            container.setdefault('env', []).append({'name': 'FAIL', 'value': fail})
        package = tmp_path / 'pipeline.yaml'
        package.write_text(yaml.safe_dump_all([spec, platform]))
        done = create_run(package, tmp_path, **parameters)
        done.disturbances = {task: lambda _: True for task in lose}
        done.execute()
        return done

    return execute


def inputs_of(run, task):
    (file,) = run.finished[task].folder.rglob('input.json')
    return json.loads(file.read_text())['inputs']['parameterValues']


def test_texts_of_the_recipe_reach_all_tasks_unchanged(run):
    done = run(only=['decide', 'train', 'push', 'finish'])

    codes = {task: result.code for task, result in done.finished.items()}
    assert codes == dict.fromkeys(['decide', 'train', 'push', 'finish'], 0)
    for task in done.finished:
        recipe = json.loads(inputs_of(done, task)['recipe'])
        assert (recipe['description'], recipe['report']['intended_use']) == (TEXT, TEXT)


def test_placeholder_in_override_is_replaced(run):
    """Users enter overrides in a form of Kubeflow, where nothing escapes them."""
    overrides = ["description={{$.inputs.parameters['run_id']}}"]
    done = run(only=['decide', 'finish'], overrides=overrides)

    for task in done.finished:
        inputs = inputs_of(done, task)
        assert inputs['overrides'] == [f'description={inputs["run_id"]}']


def test_platform_repeats_a_lost_pod_and_no_failed_one(run):
    done = run(fail='push', lose=['train'], only=['decide', 'train', 'push', 'finish'])

    pods = {task: (result.code, result.pods) for task, result in done.finished.items()}
    assert pods == {'decide': (0, 1), 'train': (0, 2), 'push': (1, 1), 'finish': (0, 1)}

"""Manual overrides (rollback, bless, unbless) and the runs after them."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from workspace import RUNNER, Workspace

from pipeline.run.record import read_runs

SECOND = 'second version'
RUN = ('run', '--set', 'trainer.seed=7')
COMMANDS = {
    'first run': ('run',),
    'second run': RUN,
    'rollback': ('models rollback', '--reason', 'cats were taken for dogs'),
    'run after rollback': RUN,
    'bless': ('models bless', SECOND, '--force', '--reason', 'they were dogs'),
    'run after bless': RUN,
    'unbless': ('models unbless', '--reason', 'they were cats'),
    'run after unbless': RUN,
    'clean': ('clean', '--keep', '1'),
    'run after clean': RUN,
}

pytestmark = pytest.mark.slow


def list_models(workspace: Workspace) -> list[dict]:
    return json.loads(workspace.call('models', '--json').stdout)


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, make_image_folder) -> Workspace:
    folder = tmp_path_factory.mktemp('overrides')
    pets = make_image_folder(folder / 'pets', per_class=80)
    recipe = 'evaluation: {minimum: 0.6, margin: 0.5}'
    return Workspace(folder, pets, recipe)


@pytest.fixture(scope='module')
def results(workspace):
    """Results of the commands, called in this order."""

    def call(*words):
        return workspace.call(*(workspace.versions()[1].name if w is SECOND else w for w in words))

    return {name: call(*command) for name, command in COMMANDS.items()}


def test_commands_end_with_documented_exit_codes(results):
    codes = {name: done.returncode for name, done in results.items()}
    rejected = {'run after rollback', 'run after unbless', 'run after clean'}
    assert codes == {name: 3 if name in rejected else 0 for name in COMMANDS}


def test_rollback_and_bless_push_new_versions(workspace, results):
    third, fourth = workspace.versions()[2:]
    assert results['rollback'].stdout == f'live: {third}\n'
    assert results['bless'].stdout == f'blessed; live: {fourth}\n'
    graphs = [(version / 'saved_model.pb').read_bytes() for version in workspace.versions()]
    assert graphs == [graphs[0], graphs[1]] * 2


def test_repeated_run_respects_override(workspace, results):
    sentence = 'its blessing was manually withdrawn by ada: cats were taken for dogs'
    rolled_back = results['run after rollback'].stdout
    assert rolled_back.splitlines()[-1] == f'NOT BLESSED: {sentence}'
    assert re.search(r'reference model (0\.\d+|1\.0)', rolled_back)
    assert 'BLESSED, unchanged, in' in results['run after bless'].stdout
    assert results['run after unbless'].stdout.splitlines()[-1].endswith('ada: they were cats')


def test_clean_keeps_what_the_next_run_needs(workspace, results):
    removed = r'[1-9]\d* folders of artifacts, up to [\d.]+ MB, removed; 1 run kept\n'
    assert re.fullmatch(removed, results['clean'].stdout)
    before, after = (results[f'run after {name}'].stdout for name in ('unbless', 'clean'))
    assert before.splitlines()[-2:] == after.splitlines()[-2:]
    assert re.findall(r'^\w+ cached$', before, re.MULTILINE) == re.findall(
        r'^\w+ cached$', after, re.MULTILINE
    )


def test_models_lists_manual_overrides(workspace, results):
    fourth, third, second, first = list_models(workspace)
    assert [each['live'] for each in (fourth, third, second, first)] == [True, False, False, False]
    pushed = {each['version']: each['note']['about'] for each in (fourth, third, second, first)}
    assert pushed[fourth['version']]['manual_override'] == 'bless'
    assert (fourth['override']['blessed'], fourth['override']['reason']) == (
        False,
        'they were cats',
    )
    assert pushed[third['version']]['version'] == first['version']
    accuracies = {pushed[each['version']]['accuracy'] for each in (second, fourth)}
    assert min(accuracies) == max(accuracies) >= 0.6
    assert second['run'] != first['run']
    assert pushed[first['version']]['spans'] == [1]


def test_runs_and_overrides_are_recorded(workspace, results):
    words = [sys.executable, RUNNER, 'runs', '--workdir', workspace.runs.parent, '--json']
    runs = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    kinds = ['run' if 'run' in name else name for name in COMMANDS if name != 'clean']
    assert [each['kind'] for each in reversed(runs)] == kinds
    assert runs[0]['manual_override'].endswith('by ada: they were cats')


def test_copied_runs_are_compared_with_the_live_model_and_change_no_other(
    workspace, results, tmp_path
):
    copied = workspace.copy(tmp_path)
    for version in copied.versions()[1:]:  # the only one whose blessing nobody withdrew is left
        shutil.rmtree(version)

    done = copied.call('run', '--set', 'trainer.seed=8')

    assert done.returncode in (0, 3), done.stdout + done.stderr
    record = read_runs(copied.runs)[-1]
    assert record.gate.comparison is not None
    assert record.model.startswith(str(tmp_path))
    assert copied.versions()[0].name == workspace.versions()[0].name


def test_run_starts_with_new_metadata_after_damaged_file_is_moved(workspace, results, tmp_path):
    """Execution ids start at 1 again, and folders of earlier executions exist."""
    workspace = workspace.copy(tmp_path)
    metadata = workspace.runs / 'metadata.sqlite'
    metadata.write_text('a shopping list')
    assert 'move the file away to start without' in workspace.call('run').stderr
    metadata.rename(workspace.runs / 'metadata.damaged')

    done = workspace.call('run')

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith('BLESSED and pushed to ')
    fifth, *others = list_models(workspace)
    assert len(others) == 4
    assert fifth['override'] is None
    assert others[0]['override']['reason'] == 'they were cats'

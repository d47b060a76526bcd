"""Manual overrides (rollback, bless, unbless) and the runs after them."""

import json
import re

import pytest
from workspace import Workspace

OTHER_SEED = ('--set', 'trainer.seed=7')

pytestmark = pytest.mark.slow


def list_models(workspace: Workspace) -> list[dict]:
    return json.loads(workspace.call('models', '--json').stdout)


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, make_image_folder) -> Workspace:
    """Two pushed models, trained with different seeds."""
    folder = tmp_path_factory.mktemp('interventions')
    pets = make_image_folder(folder / 'pets', per_class=80)
    workspace = Workspace(folder, pets, 'evaluation: {baseline_accuracy: 0.8, max_drop: 0.2}')
    for options in ((), OTHER_SEED):
        done = workspace.call('run', *options)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(workspace.versions()) == 2
    return workspace


@pytest.fixture(scope='module')
def rolled_back(workspace):
    return workspace.call('rollback', '--reason', 'cats were taken for dogs')


@pytest.fixture(scope='module')
def after_rollback(workspace, rolled_back):
    """Repeats the run whose model was rolled back."""
    return workspace.call('run', *OTHER_SEED)


@pytest.fixture(scope='module')
def blessed(workspace, after_rollback):
    return workspace.call('bless', '--force', '--reason', 'they were dogs')


@pytest.fixture(scope='module')
def after_blessing(workspace, blessed):
    return workspace.call('run', *OTHER_SEED)


@pytest.fixture(scope='module')
def unblessed(workspace, after_blessing):
    return workspace.call('unbless', '--reason', 'they were cats')


@pytest.fixture(scope='module')
def after_unblessing(workspace, unblessed):
    return workspace.call('run', *OTHER_SEED)


def test_rollback_pushes_the_earlier_model_as_a_new_version(workspace, rolled_back):
    assert rolled_back.returncode == 0, rolled_back.stderr
    first, _, third = workspace.versions()[:3]
    assert rolled_back.stdout == f'live: {third}\n'
    graphs = [(version / 'saved_model.pb').read_bytes() for version in (first, third)]
    assert graphs[0] == graphs[1]


def test_repeated_run_does_not_push_the_withdrawn_model(workspace, after_rollback):
    assert after_rollback.returncode == 3, after_rollback.stdout + after_rollback.stderr
    verdict = after_rollback.stdout.splitlines()[-2]
    sentence = 'its blessing was withdrawn by hand by ada: cats were taken for dogs'
    assert verdict == f'NOT BLESSED: {sentence}'
    assert re.search(r'previous model (0\.\d+|1\.0)', after_rollback.stdout)


def test_manually_blessed_model_is_live(workspace, blessed):
    assert blessed.returncode == 0, blessed.stderr
    assert blessed.stdout == f'blessed; live: {workspace.versions()[3]}\n'


def test_repeated_run_keeps_the_manually_blessed_model_live(workspace, after_blessing):
    assert after_blessing.returncode == 0, after_blessing.stdout + after_blessing.stderr
    assert 'BLESSED, unchanged; live in' in after_blessing.stdout
    assert len(workspace.versions()) == 4


def test_unblessed_model_stays_live_and_is_not_pushed_again(workspace, after_unblessing):
    assert after_unblessing.returncode == 3, after_unblessing.stdout + after_unblessing.stderr
    assert after_unblessing.stdout.splitlines()[-2].endswith('by ada: they were cats')
    assert len(workspace.versions()) == 4


def test_models_lists_manual_overrides(workspace, after_unblessing):
    fourth, third, second, first = list_models(workspace)
    assert fourth['live']
    assert not third['live']
    assert fourth['manual_override'] == 'blessed by ada: they were dogs'
    assert fourth['withdrawn'].endswith('by ada: they were cats')
    assert (
        third['manual_override']
        == f'rolled back to {first["version"]} by ada: cats were taken for dogs'
    )
    assert second['accuracy'] == fourth['accuracy'] > 0.8
    assert second['run'] != first['run']
    assert first['spans'] == [1]


def test_invalid_push_directory_fails_the_run(workspace, tmp_path):
    (tmp_path / 'models').write_text('a file')
    done = workspace.call('run', '--set', f'push_directory={tmp_path / "models"}')
    assert done.returncode == 1
    sentence = f'Pusher failed: cannot push to {tmp_path / "models"}: it is not a folder;'
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: {sentence} the log is ')


def test_run_starts_with_new_metadata_after_damaged_file_is_moved(workspace, after_unblessing):
    """Execution ids start at 1 again, and folders of earlier executions exist."""
    metadata = workspace.runs / 'metadata.sqlite'
    metadata.write_text('a shopping list')
    assert 'move the file away to start without' in workspace.call('run').stderr
    metadata.rename(workspace.runs / 'metadata.damaged')

    done = workspace.call('run')

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2].startswith('BLESSED and pushed to ')
    fifth, *others = list_models(workspace)
    assert len(others) == 4
    assert fifth['withdrawn'] is None
    assert others[0]['withdrawn'].endswith('by ada: they were cats')

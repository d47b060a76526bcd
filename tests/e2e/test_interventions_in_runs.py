"""A model is taken back and blessed by hand, and the runs after that keep to it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
RECIPE = """
description: bright and dark squares
trainer:
  image_size: 32
  alpha: 0.35
  weights: random
  batch_size: 16
  feature_extraction: {epochs: 0}
  fine_tune: {from_layer: 0, batch_norm: train, epochs: 12, learning_rate: 0.01, schedule: cosine}
evaluation: {baseline_accuracy: 0.8, max_drop: 0.2}
"""
ANOTHER = ('--set', 'trainer.seed=7')

pytestmark = pytest.mark.slow


class Home:
    """A recipe, its images, and what is done with the models that come of it."""

    def __init__(self, folder: Path, images: Path) -> None:
        self._recipe = folder / 'squares.yaml'
        self._recipe.write_text(RECIPE)
        self._options = ['--config', self._recipe, '--data', images, '--workdir', folder / 'runs']
        self.runs = folder / 'runs' / 'squares'

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [
                sys.executable,
                REPOSITORY / 'pipeline_runner.py',
                command,
                *self._options,
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, 'LOGNAME': 'ada'},
        )

    def versions(self) -> list[str]:
        return sorted(each.name for each in self.runs.glob('serving/[0-9]*'))

    def models(self) -> list[dict]:
        return json.loads(self.call('models', '--json').stdout)


@pytest.fixture(scope='module')
def home(tmp_path_factory, make_image_folder) -> Home:
    """Two models were pushed, of different seeds."""
    folder = tmp_path_factory.mktemp('interventions')
    home = Home(folder, make_image_folder(folder / 'pets', per_class=80))
    for options in ((), ANOTHER):
        done = home.call('run', *options)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(home.versions()) == 2
    return home


@pytest.fixture(scope='module')
def rolled_back(home):
    return home.call('rollback', '--reason', 'cats were taken for dogs')


@pytest.fixture(scope='module')
def after_rollback(home, rolled_back):
    """The run whose model was taken back, once more."""
    return home.call('run', *ANOTHER)


@pytest.fixture(scope='module')
def blessed(home, after_rollback):
    return home.call('bless', '--force', '--reason', 'they were dogs')


@pytest.fixture(scope='module')
def after_blessing(home, blessed):
    return home.call('run', *ANOTHER)


@pytest.fixture(scope='module')
def unblessed(home, after_blessing):
    return home.call('unbless', '--reason', 'they were cats')


@pytest.fixture(scope='module')
def after_unblessing(home, unblessed):
    return home.call('run', *ANOTHER)


def test_a_rollback_makes_the_earlier_model_live_under_a_new_number(home, rolled_back):
    assert rolled_back.returncode == 0, rolled_back.stderr
    first, _, third = home.versions()[:3]
    assert rolled_back.stdout == f'live: {home.runs}/serving/{third}\n'
    graphs = [home.runs / 'serving' / each / 'saved_model.pb' for each in (first, third)]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()


def test_the_run_whose_model_was_taken_back_does_not_push_it_again(home, after_rollback):
    assert after_rollback.returncode == 3, after_rollback.stdout + after_rollback.stderr
    verdict = after_rollback.stdout.splitlines()[-2]
    sentence = 'its blessing was withdrawn by hand by ada: cats were taken for dogs'
    assert verdict == f'NOT BLESSED: {sentence}'
    assert re.search(r'previous model (0\.\d+|1\.0)', after_rollback.stdout)


def test_a_model_that_is_blessed_by_hand_is_live(home, blessed):
    assert blessed.returncode == 0, blessed.stderr
    assert blessed.stdout == f'blessed; live: {home.runs}/serving/{home.versions()[3]}\n'


def test_the_run_of_a_model_that_was_blessed_by_hand_changes_nothing(home, after_blessing):
    assert after_blessing.returncode == 0, after_blessing.stdout + after_blessing.stderr
    assert 'BLESSED, unchanged; live in' in after_blessing.stdout
    assert len(home.versions()) == 4


def test_a_model_that_is_unblessed_stays_live_and_the_next_run_says_why(home, after_unblessing):
    assert after_unblessing.returncode == 3, after_unblessing.stdout + after_unblessing.stderr
    assert after_unblessing.stdout.splitlines()[-2].endswith('by ada: they were cats')
    assert len(home.versions()) == 4


def test_the_versions_are_listed_with_what_was_done_by_hand(home, after_unblessing):
    fourth, third, second, first = home.models()
    assert fourth['live']
    assert not third['live']
    assert fourth['by_hand'] == 'blessed by ada: they were dogs'
    assert fourth['withdrawn'].endswith('by ada: they were cats')
    assert third['by_hand'] == f'rolled back to {first["version"]} by ada: cats were taken for dogs'
    assert second['accuracy'] == fourth['accuracy'] > 0.8
    assert second['run'] != first['run']
    assert first['spans'] == [1]


def test_a_folder_that_cannot_be_pushed_to_fails_the_run_in_one_sentence(home, tmp_path):
    (tmp_path / 'models').write_text('a file')
    done = home.call('run', '--set', f'push_directory={tmp_path / "models"}')
    assert done.returncode == 1
    sentence = f'Pusher failed: cannot push to {tmp_path / "models"}: it is not a folder;'
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: {sentence} the log is ')


def test_metadata_that_was_damaged_and_moved_away_begins_anew(home, after_unblessing):
    """As its sentence says: executions count from 1 again, where there are folders of old ones."""
    metadata = home.runs / 'metadata.sqlite'
    metadata.write_text('a shopping list')
    assert 'move the file away to start without' in home.call('run').stderr
    metadata.rename(home.runs / 'metadata.damaged')

    done = home.call('run')

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2].startswith('BLESSED and pushed to ')
    fifth, *others = home.models()
    assert len(others) == 4
    assert fifth['withdrawn'] is None
    assert others[0]['withdrawn'].endswith('by ada: they were cats')

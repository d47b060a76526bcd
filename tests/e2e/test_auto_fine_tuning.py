"""`auto` in `trainer.fine_tune` over several runs: cached without a change, repeated by a tick."""

import json

import pytest
from workspace import Workspace

from pipeline.run.record import read_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a fixture is three runs
RECIPE = """
description: bright and dark squares
trainer:
  image_size: 32
  alpha: 0.35
  weights: embedded
  batch_size: 8
  feature_extraction: {epochs: 20, learning_rate: 0.03}
  fine_tune: {from_layer: auto, epochs: auto, learning_rate: auto}
retrain: {min_new_images: 1}
"""


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, make_image_folder):
    folder = tmp_path_factory.mktemp('auto')
    make_image_folder(folder / 'spans' / 'span-1', per_class=150)
    workspace = Workspace(folder, folder / 'spans', '', RECIPE)
    for _ in range(3):
        done = workspace.call('run')
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(workspace.versions()) == 1
    return workspace


def test_second_and_third_run_without_a_change_are_cached(workspace):
    first, second, third = read_runs(workspace.runs)[:3]

    assert 'Trainer' not in first.cached
    assert 'Trainer' in second.cached
    assert 'Trainer' in third.cached
    assert first.fine_tuning == second.fine_tuning == third.fine_tuning is not None


def test_tick_repeats_the_choice(workspace, make_image_folder):
    make_image_folder(workspace.runs.parents[1] / 'spans' / 'span-2', per_class=20, seed=2)

    done = workspace.call('run', '--if-new', '--json')

    assert done.returncode in (0, 3), done.stdout + done.stderr
    tick, first = json.loads(done.stdout), read_runs(workspace.runs)[0]
    assert tick['kind'] == 'tick'
    assert 'Trainer' not in tick['cached']
    choices = [
        json.loads(file.read_text())
        for file in workspace.runs.glob('artifacts/Trainer/model/*/*/*/fine_tuning.json')
    ]
    assert len(choices) == 2
    assert choices[0] == choices[1]
    assert tick['fine_tuning'] == first.fine_tuning

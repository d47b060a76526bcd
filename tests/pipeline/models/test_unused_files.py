"""Which artifacts of old runs are removed."""

import datetime
import os
import time
from pathlib import Path

import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution

from common.errors import ModelError
from common.features import ACTIVATIONS, INTERRUPTED
from pipeline.config.recipe import Recipe
from pipeline.models.unused_files import find_unused, remove_unused
from pipeline.run.record import Run, utc_now, write_run


class Runs:
    """Recorded runs with the folders of their models, a megabyte each."""

    def __init__(self, pets):
        self.pets, self.recipe = pets, pets.recipe
        self.models = Path(pets.recorder.folder)

    def add(self, *, served=False, **options):
        model = self.pets.train({1: 'x'}, **options)
        (Path(model.uri) / 'Format-Serving' / 'weights').write_bytes(bytes(1_000_000))
        if served:
            self.pets.push(model)
        return Path(model.uri)

    def clean(self, keep, days=7):
        older_than = datetime.timedelta(days=days)
        unused = find_unused(self.recipe, self.pets.store, keep, older_than)
        remove_unused(unused, self.pets.store)
        return unused

    def left(self):
        return sorted(int(each.name) for each in self.models.iterdir())


@pytest.fixture
def runs(pets):
    return Runs(pets)


def test_last_runs_and_served_models_are_kept(runs):
    runs.add(served=True)
    for _ in range(4):
        runs.add(blessed=False)

    unused = runs.clean(keep=2)

    assert runs.left() == [1, 4, 5]
    assert (unused.kept_runs, round(unused.megabytes, 3)) == (2, 2)
    assert runs.clean(keep=2).folders == ()


def test_only_runs_that_evaluated_count_and_later_ones_are_kept(runs):
    for evaluated in (True, False, True, False, False):
        runs.add(blessed=False, evaluated=evaluated)

    assert runs.clean(keep=1).kept_runs == 1
    assert runs.left() == [3, 4, 5]


def test_runs_on_a_cluster_that_are_running_are_kept(runs):
    running = runs.add(evaluated=False)
    for _ in range(2):
        runs.add(blessed=False)
    record = {'id': 'run-1', 'recipe': 'pets', 'started': utc_now(), 'engine': 'kubeflow'}
    write_run(runs.recipe.home, Run(**record))

    runs.clean(keep=1)
    assert running.exists()


def test_removed_artifacts_are_marked_so_that_no_run_uses_them(runs):
    for _ in range(2):
        runs.add()
    runs.clean(keep=1)
    recorder = runs.pets.recorder
    first, second = recorder.store.get_artifacts_by_id([each.id for each in recorder.models])
    assert first.state == first.DELETED != second.state
    assert len(runs.pets.provenance.models()) == 2  # the history stays


@pytest.mark.parametrize('age', [6, 8])
def test_what_killed_runs_left_is_removed_after_a_week(runs, age):
    runs.add()
    orphan, note = runs.models / '99', runs.models / 'README'
    shared = runs.recipe.artifacts_directory / 'Trainer' / 'model_run' / ACTIVATIONS
    run = runs.recipe.artifacts_directory / 'Trainer' / 'model_run'
    unfinished = runs.recipe.serving_directory / '.coming-7'
    tuner = run.parents[1] / 'Tuner' / 'best_hyperparameters' / f'{ACTIVATIONS}x7'
    leftovers = [orphan, run / INTERRUPTED, tuner, unfinished]
    then = time.time() - age * 86400
    for folder in (*leftovers, shared):
        folder.mkdir(parents=True)
        os.utime(folder, (then, then))
    note.touch()

    runs.clean(keep=1)

    assert [each.exists() for each in leftovers] == [age < 7] * 4
    assert note.exists()
    runs.clean(keep=1, days=0)
    assert not any(each.exists() for each in leftovers)
    assert shared.exists()  # has a limit of its own


def test_artifacts_of_others_in_a_shared_root_stay(runs, tmp_path, recorder):
    runs.recipe = Recipe(name='pets', workdir=tmp_path, pipeline_root=tmp_path / 'root')
    runs.models = runs.recipe.artifacts_directory / 'Trainer' / 'model'
    recorder.folder = str(runs.models)
    runs.add()
    recorder.execution('Trainer', {}, {}, [recorder.pipeline], Execution.RUNNING)  # killed
    killed = str(max(each.id for each in recorder.store.get_executions()))
    of_another_workdir = runs.models / killed  # each workdir counts its executions
    of_another_recipe = tmp_path / 'root' / 'birds' / 'Trainer' / 'model' / killed
    for folder in (of_another_workdir, of_another_recipe):
        folder.mkdir(parents=True)

    runs.clean(keep=1, days=0)

    assert of_another_workdir.exists()
    assert of_another_recipe.exists()


def test_nothing_is_removed_if_the_runs_were_moved(runs, tmp_path):
    runs.add()
    (tmp_path / 'pets').rename(tmp_path / 'moved')
    runs.recipe = Recipe(name='pets', workdir=tmp_path, pipeline_root=tmp_path / 'moved')
    with pytest.raises(ModelError, match='perhaps it was moved, so nothing is removed'):
        runs.clean(keep=1)

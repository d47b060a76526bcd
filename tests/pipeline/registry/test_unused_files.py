"""Which artifacts of old runs are removed."""

import os

import pytest
from metadata_recorder import Recorder

from common.errors import ModelError
from common.features import INTERRUPTED
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import Provenance
from pipeline.registry.unused_files import find_unused, remove_unused


class Runs:
    """Recorded runs with the folders of their models, 1000 bytes each."""

    def __init__(self, recipe):
        self.recipe, self.recorder = recipe, Recorder()
        self.recorder.folder = self.models = recipe.artifacts_directory / 'Trainer' / 'model'
        self.serving = recipe.serving_directory

    def add(self, *, served=False, **options):
        model = self.recorder.run({1: 'x'}, destination=str(self.serving), **options)
        folder = self.models / model.uri.rpartition('/')[2]
        folder.mkdir(parents=True)
        (folder / 'weights').write_bytes(bytes(1000))
        if served:
            (self.serving / str(1000 + int(folder.name))).mkdir(parents=True)
        return folder

    def clean(self, keep):
        unused = find_unused(self.recipe, self.recorder.store, keep)
        remove_unused(unused, self.recorder.store)
        return unused

    def left(self):
        return sorted(int(each.name) for each in self.models.iterdir())


@pytest.fixture
def runs(tmp_path):
    return Runs(Recipe(name='pets', workdir=tmp_path))


def test_last_runs_and_served_models_are_kept(runs):
    runs.add(served=True)
    for _ in range(4):
        runs.add(blessed=False)

    unused = runs.clean(keep=2)

    assert runs.left() == [1, 4, 5]
    assert (unused.kept_runs, unused.megabytes) == (2, 0.002)
    assert runs.clean(keep=2).folders == ()


def test_only_runs_that_evaluated_count_and_incomplete_ones_after_them_are_kept(runs):
    for evaluated in (True, False, True, False, False):
        runs.add(blessed=False, evaluated=evaluated)

    unused = runs.clean(keep=1)

    assert runs.left() == [3, 4, 5]
    assert (unused.kept_runs, unused.incomplete_runs) == (1, 2)


def test_removed_artifacts_are_marked_so_that_no_run_uses_them(runs):
    for _ in range(2):
        runs.add()
    runs.clean(keep=1)
    first, second = runs.recorder.store.get_artifacts_by_id(
        [each.id for each in runs.recorder.models]
    )
    assert first.state == first.DELETED != second.state
    assert len(Provenance(runs.recorder.store, 'pets').pushed()) == 2  # the history stays


def test_folders_without_metadata_are_removed_and_files_of_users_stay(runs):
    runs.add()
    orphan, note = runs.models / '99', runs.models / 'README'
    orphan.mkdir()
    note.touch()
    runs.clean(keep=1)
    assert not orphan.exists()
    assert note.exists()


def test_linked_files_free_nothing_until_the_last_link_is_removed(runs):
    first, second = (runs.add(blessed=False) for _ in range(2))
    (second / 'weights').unlink()
    os.link(first / 'weights', second / 'weights')
    assert runs.clean(keep=1).megabytes == 0
    runs.add()
    assert runs.clean(keep=1).megabytes == 0.001


def test_nothing_is_removed_if_the_runs_were_moved(runs, tmp_path):
    runs.add()
    (tmp_path / 'pets').rename(tmp_path / 'moved')
    recipe = Recipe(name='pets', workdir=tmp_path, pipeline_root=tmp_path / 'moved/artifacts')
    with pytest.raises(ModelError, match='perhaps it was moved, so nothing is removed'):
        find_unused(recipe, runs.recorder.store, 1)


def test_cache_of_an_interrupted_training_is_removed(runs):
    runs.add()
    interrupted = runs.recipe.artifacts_directory / 'Trainer' / 'model_run' / INTERRUPTED
    (interrupted / 'key').mkdir(parents=True)
    (interrupted / 'key' / 'records').write_bytes(bytes(5000))

    assert runs.clean(keep=1).megabytes == 0.005
    assert not interrupted.exists()

import io
import json
import shutil
from pathlib import Path

import pytest
from metadata_recorder import Recorder
from saved_model_files import write_saved_model
from tfx.types import standard_artifacts

from common import console
from common.errors import ModelError
from common.manual_override import ManualOverride, write_override
from components.resolvers.live_model import CANDIDATE, LiveModelStrategy

CATS_AND_DOGS = ('cats', 'dogs')


class Models:
    """Models 1, 2, ... in ML Metadata and in the serving folder; the last one is the candidate."""

    def __init__(self, folder):
        self.folder, self.serving, self.recorder = folder, folder / 'serving', Recorder()
        self.models = []
        self.output = ''

    def add(self, *versions, classes=None):
        """Records a model, and pushes it as these versions."""
        number = len(self.models) + 1
        folder = self.folder / 'models' / str(number)
        extra = folder / 'Format-Serving' / 'assets.extra'
        extra.mkdir(parents=True)
        write_saved_model(extra.parent, str(number))
        if classes:
            (extra / 'classes.json').write_text(json.dumps(classes))
        model = self.recorder.artifact('Model', str(folder))
        self.models.append(standard_artifacts.Model())
        self.models[-1].set_mlmd_artifact(model)
        for version in versions:
            shutil.copytree(extra.parent, self.serving / str(version))

    def add_each(self, *models):
        """Records models, each given by its versions."""
        for versions in models:
            self.add(*versions)

    def resolve(self, candidate=True):
        """The number of the resolved model, or None; keeps the printed output."""
        inputs = {'model': self.models}
        if candidate:
            inputs[CANDIDATE] = self.models[-1:]
        output = io.StringIO()
        with console.output_to(output):
            strategy = LiveModelStrategy(str(self.serving), 'pets', str(self.folder / 'artifacts'))
            resolved = strategy.resolve_artifacts(self.recorder.store, inputs)
        self.output = output.getvalue()
        assert resolved.get(CANDIDATE) == inputs.get(CANDIDATE)
        (model,) = resolved['model'] or [None]
        # A model that was not in the metadata has no number.
        return self.models.index(model) + 1 if model in self.models else model

    def damage(self, version):
        shutil.rmtree(self.serving / str(version) / 'variables')


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path)


@pytest.mark.parametrize(
    ('pushed', 'resolved'),
    [
        pytest.param([[]], None, id='first model'),
        pytest.param([[], []], None, id='not pushed'),
        pytest.param([[1], [2], [], []], 2, id='highest version'),
        pytest.param([[1], [2]], 1, id='the candidate is live'),
        pytest.param([[1, 3], [2], []], 1, id='rolled back'),
        pytest.param([[9], [10], []], 2, id='version 10 above 9'),
    ],
)
def test_resolves_the_model_of_the_highest_version(models, pushed, resolved):
    models.add_each(*pushed)
    assert models.resolve() == resolved


def test_candidate_of_a_warm_start_is_the_live_model(models):
    models.add(1)
    assert models.resolve(candidate=False) == 1


def test_model_is_that_of_the_files_whatever_the_paths_say(models):
    models.add_each([1], [2], [])
    (models.serving / '2').rename(models.serving / '77')  # copied by a user
    assert models.resolve() == 2
    shutil.rmtree(models.serving / '77')
    assert models.resolve() == 1


def test_version_that_is_not_in_the_metadata_is_added_once(models, make_saved_model):
    models.add(1)
    models.add()
    backup = make_saved_model(models.serving / '8')

    found = models.resolve()

    graph = Path(found.uri) / 'Format-Serving' / 'saved_model.pb'
    assert graph.read_bytes() == (backup / 'saved_model.pb').read_bytes()
    assert 'the model of version 8 was not in the metadata' in models.output
    (stored,) = models.recorder.store.get_artifacts_by_uri(found.uri)
    again = standard_artifacts.Model()
    again.set_mlmd_artifact(stored)
    models.models.insert(0, again)  # as TFX gives it to the next run
    assert (models.resolve(candidate=False), stored.state) == (1, stored.LIVE)
    context = models.recorder.pipeline.id
    assert stored.id in {
        each.id for each in models.recorder.store.get_artifacts_by_context(context)
    }


@pytest.mark.parametrize(
    'name',
    ['saved_model.pb', 'variables/variables.index', 'variables/variables.data-00000-of-00001'],
)
@pytest.mark.parametrize('candidate', [False, True])
def test_version_with_a_damaged_file_is_an_error(models, make_saved_model, name, candidate):
    models.add(1)
    models.add()
    file = make_saved_model(models.serving / '8') / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    message = f'the model in {models.serving}/8 cannot be loaded: .*; restore version 8, or remove'
    with pytest.raises(ModelError, match=message):
        models.resolve(candidate)
    shutil.rmtree(models.serving / '8')
    assert models.resolve(candidate) == 1


@pytest.mark.parametrize('gone', [{2}, {1, 2}])
def test_skips_incomplete_version_with_warning(models, gone):
    models.add_each([1], [2], [])
    for number in gone:
        models.damage(number)

    assert models.resolve() == (None if 1 in gone else 1)
    assert models.output.splitlines() == [
        f'warning: version {number} is not used: its graph or weights are missing'
        for number in sorted(gone, reverse=True)
    ]


@pytest.mark.parametrize(('blessed', 'resolved'), [(False, 1), (True, 2)])
def test_withdrawn_version_is_skipped(models, blessed, resolved):
    models.add_each([1], [2], [])
    moment = '2026-11-21T00:00Z'
    override = ManualOverride(blessed=blessed, person='eve', reason='seen', moment=moment)
    write_override(models.serving / '2' / 'assets.extra', override)

    assert models.resolve() == resolved


@pytest.mark.parametrize(
    ('previous', 'candidate', 'compared'),
    [
        (CATS_AND_DOGS, CATS_AND_DOGS, True),
        (CATS_AND_DOGS, ('cats', 'dogs', 'foxes'), False),
        (CATS_AND_DOGS, ('dogs', 'cats'), False),
        (None, CATS_AND_DOGS, True),  # a model of another pipeline
    ],
)
def test_model_with_other_classes_is_not_compared(models, previous, candidate, compared):
    models.add(1, classes=('cats', 'dogs', 'foxes'))
    models.add(2, classes=previous)
    models.add(classes=candidate)

    assert models.resolve() == (2 if compared else None)
    assert ('not compared with version 2' in models.output) is not compared
    assert ('2 classes (cats, dogs)' in models.output) is not compared


def note(models, version, reference):
    values = {'version': version, 'pushed': '2026-11-21T00:00Z', 'about': {'reference': reference}}
    file = models.serving / str(version) / 'assets.extra' / 'push.json'
    file.write_text(json.dumps(values))


def withdraw(models, version):
    override = ManualOverride(blessed=False, person='eve', reason='x', moment='2026-11-21T00:00Z')
    write_override(models.serving / str(version) / 'assets.extra', override)


@pytest.mark.parametrize(
    ('reference', 'resolved'),
    [
        pytest.param(1, 1, id='an earlier version is better'),
        pytest.param(None, 3, id='the live version is the best'),
        pytest.param(7, 3, id='removed'),
        pytest.param(2, 3, id='withdrawn, as by a rollback'),
    ],
)
def test_candidate_is_compared_with_the_reference_of_the_live_version(models, reference, resolved):
    models.add_each([1], [2], [3], [])
    note(models, 3, reference)
    withdraw(models, 2)

    assert models.resolve() == resolved
    assert models.resolve(candidate=False) == 3  # a warm start


def test_repeated_run_has_the_same_reference_model(models):
    models.add_each([1], [2], [])
    note(models, 2, 1)
    assert models.resolve() == 1
    shutil.copytree(f'{models.models[2].uri}/Format-Serving', models.serving / '3')  # pushed
    note(models, 3, 1)
    assert models.resolve() == 1


def test_candidate_that_is_the_reference_is_compared_with_the_live_version(models):
    models.add(2)
    models.add(1)  # the model comes from the cache of the Trainer
    note(models, 2, 1)
    assert models.resolve() == 1


def test_candidate_after_a_rollback_is_compared_with_the_restored_version(models):
    """Version 3 is a copy of 1, which replaced 2."""
    models.add_each([1, 3], [2], [])
    note(models, 2, None)
    note(models, 3, None)
    withdraw(models, 2)
    assert models.resolve() == 1
    note(models, 3, 2)  # the reference of its time was rolled back from
    assert models.resolve() == 1


def test_damaged_reference_is_not_used(models):
    models.add_each([1], [2], [])
    note(models, 2, 1)
    models.damage(1)
    assert models.resolve() == 2
    assert 'version 1 is not used' in models.output

import io
import json

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts

from components.baseline_resolver import CANDIDATE, LatestOtherBlessedModelStrategy
from trainer import progress


def model(number: int) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


def blessing(
    of: int, blessed: bool = True, number: int | None = None
) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = 100 + of if number is None else number
    artifact.set_int_custom_property('current_model_id', of)
    artifact.set_int_custom_property('blessed', int(blessed))
    return artifact


class Pushes:
    """A store in which a Pusher, whose execution has the model's number, pushed some models."""

    def __init__(self, models: set[int]) -> None:
        self._models = models

    def get_events_by_artifact_ids(self, ids: list[int]) -> list[mlmd.Event]:
        return [mlmd.Event(artifact_id=each, execution_id=each) for each in ids]

    def get_events_by_execution_ids(self, ids: list[int]) -> list[mlmd.Event]:
        return [mlmd.Event(artifact_id=1000 + each, execution_id=each) for each in ids]

    def get_artifacts_by_id(self, ids: list[int]) -> list[mlmd.Artifact]:
        artifacts = [mlmd.Artifact(id=each, type='PushedModel') for each in ids]
        for artifact in artifacts:
            artifact.custom_properties['pushed'].int_value = artifact.id - 1000 in self._models
        return artifacts


@pytest.fixture
def resolve():
    """Gives what a resolver gives that knows these models, blessings and pushes (all, if none)."""

    def call(candidate, models, blessings, pushed=None):
        inputs = {'model': models, 'model_blessing': blessings, CANDIDATE: [candidate]}
        pushes = Pushes({each.id for each in models} if pushed is None else pushed)
        return LatestOtherBlessedModelStrategy().resolve_artifacts(pushes, inputs)

    return call


def test_the_first_model_has_no_baseline(resolve):
    resolved = resolve(model(1), [model(1)], [])

    assert resolved['model'] == []


def test_a_model_that_was_not_blessed_is_no_baseline(resolve):
    resolved = resolve(model(2), [model(1), model(2)], [blessing(1, blessed=False)])

    assert resolved['model'] == []


def test_the_latest_blessed_model_is_the_baseline_with_its_blessing(resolve):
    models = [model(1), model(2), model(3), model(4)]
    blessings = [blessing(1), blessing(2), blessing(3, blessed=False)]

    resolved = resolve(model(4), models, blessings)

    assert [artifact.id for artifact in resolved['model']] == [2]
    assert [artifact.id for artifact in resolved['model_blessing']] == [102]


def test_a_candidate_is_not_its_own_baseline(resolve):
    resolved = resolve(model(1), [model(1)], [blessing(1)])

    assert resolved['model'] == []


def test_a_candidate_that_is_blessed_gets_the_one_before_again(resolve):
    resolved = resolve(model(2), [model(1), model(2)], [blessing(1), blessing(2)])

    assert [artifact.id for artifact in resolved['model']] == [1]


def test_a_model_that_was_blessed_and_not_pushed_is_no_baseline(resolve):
    models = [model(1), model(2), model(3)]

    resolved = resolve(model(3), models, [blessing(1), blessing(2)], pushed={1})

    assert [artifact.id for artifact in resolved['model']] == [1]


def test_the_candidate_is_passed_on(resolve):
    candidate = model(2)

    assert resolve(candidate, [model(1), candidate], [blessing(1)])[CANDIDATE] == [candidate]
    assert resolve(candidate, [candidate], [])[CANDIDATE] == [candidate]


def test_an_older_model_that_was_blessed_again_is_the_latest(resolve):
    models = [model(1), model(2), model(3)]
    blessings = [blessing(1), blessing(2), blessing(1, number=200)]

    resolved = resolve(model(3), models, blessings)

    assert [artifact.id for artifact in resolved['model']] == [1]


@pytest.fixture
def knowing(tmp_path):
    """Gives a model whose folder says which classes it knows, or nothing."""

    def make(number, *classes):
        artifact = model(number)
        artifact.uri = str(tmp_path / str(number))
        if classes:
            folder = tmp_path / str(number) / 'weights'
            folder.mkdir(parents=True)
            (folder / 'architecture.json').write_text(json.dumps({'classes': classes}))
        return artifact

    return make


@pytest.mark.parametrize(
    ('before', 'now', 'compared'),
    [
        (('cats', 'dogs'), ('cats', 'dogs'), True),
        (('cats', 'dogs'), ('cats', 'dogs', 'foxes'), False),
        (('cats', 'dogs'), ('dogs', 'cats'), False),
        ((), ('cats', 'dogs'), True),  # as models from before classes were written
    ],
)
def test_a_model_of_other_classes_is_no_baseline_and_that_is_said(
    resolve, knowing, before, now, compared
):
    models = [knowing(1, 'cats', 'dogs', 'foxes'), knowing(2, *before), knowing(3, *now)]
    said = io.StringIO()

    with progress.using_console(progress.make_console(said)):
        resolved = resolve(models[-1], models, [blessing(1), blessing(2)])

    assert [artifact.id for artifact in resolved['model']] == [2] * compared
    assert len(resolved['model_blessing']) == len(resolved['model'])
    if compared:
        assert said.getvalue() == ''
    else:
        assert said.getvalue().startswith('  the last blessed model knows 2 classes (cats, dogs)')
        assert said.getvalue().endswith(': they are not compared\n')

import datetime
import io
import json

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts

from common import console
from common.blessing import ManualOverride, write_override
from components.resolvers import blessed_model as baseline_resolver
from components.resolvers.blessed_model import CANDIDATE, LatestOtherBlessedModelStrategy


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
    """A store in which Pushers had some models, some of which were pushed.

    Args:
        pushes: models in the order of their versions; 0 stands for nobody's.
        others: models that Pushers had and did not push.
    """

    def __init__(self, pushes: list[int], others: list[int] = ()) -> None:
        self._models = [*pushes, *others]
        self._versions = len(pushes)

    def get_events_by_artifact_ids(self, ids: list[int]) -> list[mlmd.Event]:
        return [
            mlmd.Event(artifact_id=model, execution_id=number, type=mlmd.Event.INPUT)
            for number, model in enumerate(self._models, 1)
            if model in ids
        ]

    def get_events_by_execution_ids(self, ids: list[int]) -> list[mlmd.Event]:
        return [
            mlmd.Event(artifact_id=1000 + each, execution_id=each, type=mlmd.Event.OUTPUT)
            for each in ids
        ]

    def get_artifacts_by_id(self, ids: list[int]) -> list[mlmd.Artifact]:
        artifacts = [mlmd.Artifact(id=each, type='PushedModel') for each in ids]
        for artifact in artifacts:
            number = artifact.id - 1000
            artifact.custom_properties['pushed'].int_value = number <= self._versions
            if number <= self._versions:
                artifact.custom_properties['pushed_version'].string_value = str(number)
        return artifacts


@pytest.fixture
def damaged(monkeypatch):
    """Places of models that cannot be used; the others can."""
    places: set[str] = set()
    monkeypatch.setattr(
        baseline_resolver, 'why_unusable', lambda uri: f'{uri} is gone' if uri in places else None
    )
    return places


@pytest.fixture
def resolve(damaged):
    """Gives what a resolver gives that knows these models, blessings and pushes (all, if none)."""

    def call(candidate, models, blessings, pushed=None):
        inputs = {'model': models, 'model_blessing': blessings, CANDIDATE: [candidate]}
        ids = [each.id for each in models]
        store = Pushes(ids) if pushed is None else Pushes(pushed, ids)
        return LatestOtherBlessedModelStrategy().resolve_artifacts(store, inputs)

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

    resolved = resolve(model(3), models, [blessing(1), blessing(2)], pushed=[1])

    assert [artifact.id for artifact in resolved['model']] == [1]


def test_the_candidate_is_passed_on(resolve):
    candidate = model(2)

    assert resolve(candidate, [model(1), candidate], [blessing(1)])[CANDIDATE] == [candidate]
    assert resolve(candidate, [candidate], [])[CANDIDATE] == [candidate]


def test_a_model_that_was_rolled_back_to_is_the_latest(resolve):
    models = [model(1), model(2), model(3)]

    resolved = resolve(model(3), models, [blessing(1), blessing(2)], pushed=[1, 2, 1])

    assert [artifact.id for artifact in resolved['model']] == [1]


def test_versions_are_compared_as_numbers(resolve):
    models = [model(1), model(2), model(3)]

    resolved = resolve(model(3), models, [blessing(1), blessing(2)], pushed=[0] * 8 + [1, 2])

    assert [artifact.id for artifact in resolved['model']] == [2]  # version 10, and the other 9


def test_of_several_blessings_of_a_model_the_last_comes_with_it(resolve):
    blessings = [blessing(1), blessing(1, number=200)]

    resolved = resolve(model(2), [model(1), model(2)], blessings)

    assert [artifact.id for artifact in resolved['model_blessing']] == [200]


@pytest.mark.parametrize('gone', [{'/2'}, {'/1', '/2'}])
def test_a_model_that_cannot_be_used_is_told_and_passed_over(resolve, damaged, gone):
    damaged |= gone
    models = [model(1), model(2), model(3)]
    for each in models:
        each.uri = f'/{each.id}'
    said = io.StringIO()

    with console.output_to(said):
        resolved = resolve(models[2], models, [blessing(1), blessing(2)])

    assert [artifact.id for artifact in resolved['model']] == [1] * ('/1' not in gone)
    assert said.getvalue().splitlines() == [
        f'warning: an earlier blessed model cannot be used and is passed over: {place} is gone'
        for place in sorted(gone, reverse=True)
    ]


@pytest.mark.parametrize(('gate', 'person'), [(True, False), (False, True)])
def test_a_person_has_the_last_word_on_what_may_be_compared_with(resolve, tmp_path, gate, person):
    models = [model(1), model(2), model(3)]
    models[1].uri = str(tmp_path)
    moment = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)
    said = ManualOverride(blessed=person, person='eve', reason='seen', moment=moment)
    write_override(tmp_path, said)

    resolved = resolve(models[2], models, [blessing(1), blessing(2, blessed=gate)])

    assert [artifact.id for artifact in resolved['model']] == [2 if person else 1]


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

    with console.output_to(said):
        resolved = resolve(models[-1], models, [blessing(1), blessing(2)])

    assert [artifact.id for artifact in resolved['model']] == [2] * compared
    assert len(resolved['model_blessing']) == len(resolved['model'])
    if compared:
        assert said.getvalue() == ''
    else:
        assert said.getvalue().startswith('the last blessed model knows 2 classes (cats, dogs)')
        assert said.getvalue().endswith(': they are not compared\n')

import pytest
from tfx.types import standard_artifacts

from components.baseline_resolver import CANDIDATE, LatestOtherBlessedModelStrategy


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


@pytest.fixture
def resolve():
    """Gives what a resolver gives that knows these models and blessings."""

    def call(candidate, models, blessings):
        inputs = {'model': models, 'model_blessing': blessings, CANDIDATE: [candidate]}
        return LatestOtherBlessedModelStrategy().resolve_artifacts(None, inputs)

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


def test_the_candidate_is_passed_on(resolve):
    candidate = model(2)

    assert resolve(candidate, [model(1), candidate], [blessing(1)])[CANDIDATE] == [candidate]
    assert resolve(candidate, [candidate], [])[CANDIDATE] == [candidate]


def test_an_older_model_that_was_blessed_again_is_the_latest(resolve):
    models = [model(1), model(2), model(3)]
    blessings = [blessing(1), blessing(2), blessing(1, number=200)]

    resolved = resolve(model(3), models, blessings)

    assert [artifact.id for artifact in resolved['model']] == [1]

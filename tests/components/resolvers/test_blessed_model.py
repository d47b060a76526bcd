import io
import json

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts

from common import console
from common.blessing import ManualOverride, write_override
from components.resolvers import blessed_model
from components.resolvers.blessed_model import CANDIDATE, LatestOtherBlessedModelStrategy

CATS_AND_DOGS = ('cats', 'dogs')


def blessing(of: int, blessed: bool = True, number: int = 0) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = number or 100 + of
    artifact.set_int_custom_property('current_model_id', of)
    artifact.set_int_custom_property('blessed', int(blessed))
    return artifact


class Pushes:
    """Store with executions of Pushers; their outputs have the ids 1001, 1002, ...

    Args:
        pushes: ids of pushed models, by version; 0 for an unknown model.
        others: ids of models that were not pushed.
    """

    def __init__(self, pushes: list[int], others: list[int]) -> None:
        self._models = [*pushes, *others]
        self._versions = len(pushes)

    def get_events_by_artifact_ids(self, ids: list[int]) -> list[mlmd.Event]:
        executions = range(1, len(self._models) + 1)
        events = self.get_events_by_execution_ids(executions)
        return [event for event in events if event.artifact_id in ids]

    def get_events_by_execution_ids(self, ids: list[int]) -> list[mlmd.Event]:
        event, path = mlmd.Event, mlmd.Event.Path
        found = []
        for each in ids:
            model, pushed = (path(steps=[path.Step(key=key)]) for key in ('model', 'pushed_model'))
            values = {'execution_id': each, 'artifact_id': self._models[each - 1]}
            found.append(event(type=event.INPUT, path=model, **values))
            values['artifact_id'] = 1000 + each
            found.append(event(type=event.OUTPUT, path=pushed, **values))
        return found

    def get_executions_by_id(self, ids: list[int]) -> list[mlmd.Execution]:
        return [mlmd.Execution(id=each, last_known_state=mlmd.Execution.COMPLETE) for each in ids]

    def get_artifacts_by_id(self, ids: list[int]) -> list[mlmd.Artifact]:
        artifacts = [mlmd.Artifact(id=each) for each in ids]
        for artifact in artifacts:
            version = artifact.id - 1000
            artifact.custom_properties['pushed'].int_value = version <= self._versions
            artifact.custom_properties['pushed_version'].string_value = str(version)
        return artifacts


@pytest.fixture
def make_models(tmp_path):
    """`make_models(*classes)`: one model per argument, its classes or None."""

    def make(*classes):
        models = []
        for number, each in enumerate(classes, 1):
            models.append(standard_artifacts.Model())
            models[-1].id, models[-1].uri = number, str(tmp_path / str(number))
            folder = tmp_path / str(number) / 'weights'
            folder.mkdir(parents=True)
            if each:
                (folder / 'architecture.json').write_text(json.dumps({'classes': each}))
        return models

    return make


@pytest.fixture
def damaged(monkeypatch):
    """URIs of unusable models."""
    uris: set[str] = set()
    monkeypatch.setattr(
        blessed_model, 'why_unusable', lambda uri: f'{uri} is gone' if uri in uris else None
    )
    return uris


@pytest.fixture
def resolve(damaged):
    """`resolve(models, blessings, pushed)`: ids of the baseline of the last model, and the output.

    `pushed` are ids of pushed models by version, by default those of all models.
    """

    def call(models, blessings, pushed=None):
        inputs = {'model': models, 'model_blessing': blessings, CANDIDATE: models[-1:]}
        ids = [each.id for each in models]
        store = Pushes(ids, []) if pushed is None else Pushes(pushed, ids)
        output = io.StringIO()
        with console.output_to(output):
            resolved = LatestOtherBlessedModelStrategy().resolve_artifacts(store, inputs)
        assert resolved[CANDIDATE] == models[-1:]
        found = [[each.id for each in resolved[key]] for key in ('model', 'model_blessing')]
        return found, output.getvalue()

    return call


@pytest.mark.parametrize(
    ('count', 'blessings', 'pushed', 'baseline'),
    [
        pytest.param(1, [], None, [[], []], id='first model'),
        pytest.param(2, [blessing(1, blessed=False)], None, [[], []], id='rejected'),
        pytest.param(
            4,
            [blessing(1), blessing(2), blessing(3, blessed=False)],
            None,
            [[2], [102]],
            id='latest blessed',
        ),
        pytest.param(2, [blessing(1), blessing(2)], None, [[1], [101]], id='blessed candidate'),
        pytest.param(3, [blessing(1), blessing(2)], [1], [[1], [101]], id='blessed, not pushed'),
        pytest.param(3, [blessing(1), blessing(2)], [1, 2, 1], [[1], [101]], id='rolled back'),
        pytest.param(
            3, [blessing(1), blessing(2)], [0] * 8 + [1, 2], [[2], [102]], id='version 10 above 9'
        ),
        pytest.param(
            2, [blessing(1), blessing(1, number=200)], None, [[1], [200]], id='two blessings'
        ),
    ],
)
def test_resolves_baseline(make_models, resolve, count, blessings, pushed, baseline):
    assert resolve(make_models(*[None] * count), blessings, pushed) == (baseline, '')


@pytest.mark.parametrize('gone', [{2}, {1, 2}])
def test_skips_unusable_model_with_warning(make_models, resolve, damaged, gone):
    models = make_models(None, None, None)
    damaged |= {each.uri for each in models if each.id in gone}

    (baseline, _), output = resolve(models, [blessing(1), blessing(2)])

    assert baseline == [1] * (1 not in gone)
    assert output.splitlines() == [
        f'warning: skipped an unusable blessed model: {uri} is gone'
        for uri in sorted(damaged, reverse=True)
    ]


@pytest.mark.parametrize(('by_gate', 'manual_override'), [(True, False), (False, True)])
def test_override_replaces_gate_decision(make_models, resolve, tmp_path, by_gate, manual_override):
    moment = '2026-11-21T00:00Z'
    override = ManualOverride(blessed=manual_override, person='eve', reason='seen', moment=moment)
    models = make_models(None, None, None)
    write_override(tmp_path / '2', override)

    (baseline, _), _ = resolve(models, [blessing(1), blessing(2, blessed=by_gate)])

    assert baseline == [2 if manual_override else 1]


@pytest.mark.parametrize(
    ('previous', 'candidate', 'compared'),
    [
        (CATS_AND_DOGS, CATS_AND_DOGS, True),
        (CATS_AND_DOGS, ('cats', 'dogs', 'foxes'), False),
        (CATS_AND_DOGS, ('dogs', 'cats'), False),
        (None, CATS_AND_DOGS, True),  # models of older releases
    ],
)
def test_model_with_other_classes_is_no_baseline(
    make_models, resolve, previous, candidate, compared
):
    models = make_models(('cats', 'dogs', 'foxes'), previous, candidate)

    found, output = resolve(models, [blessing(1), blessing(2)])

    assert found == ([[2], [102]] if compared else [[], []])
    assert ('not compared with the last blessed model' in output) is not compared
    assert ('2 classes (cats, dogs)' in output) is not compared

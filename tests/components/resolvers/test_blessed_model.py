import datetime
import io
import json

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts

from common import console
from common.blessing import ManualOverride, write_override
from components.resolvers import blessed_model
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
    """Store with executions of Pushers.

    Args:
        pushes: ids of pushed models, by version; 0 for an unknown model.
        others: ids of models that were not pushed.
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
    """URIs of unusable models."""
    uris: set[str] = set()
    monkeypatch.setattr(
        blessed_model, 'why_unusable', lambda uri: f'{uri} is gone' if uri in uris else None
    )
    return uris


@pytest.fixture
def resolve(damaged):
    """`resolve(models, blessings, pushed)` resolves the baseline of the last model.

    `pushed` are ids of pushed models by version, by default those of all models.
    """

    def call(models, blessings, pushed=None):
        inputs = {'model': models, 'model_blessing': blessings, CANDIDATE: models[-1:]}
        ids = [each.id for each in models]
        store = Pushes(ids) if pushed is None else Pushes(pushed, ids)
        resolved = LatestOtherBlessedModelStrategy().resolve_artifacts(store, inputs)
        assert resolved[CANDIDATE] == models[-1:]
        return [[each.id for each in resolved[key]] for key in ('model', 'model_blessing')]

    return call


@pytest.mark.parametrize(
    ('count', 'blessings', 'pushed', 'baseline', 'baseline_blessing'),
    [
        pytest.param(1, [], None, [], [], id='first model'),
        pytest.param(2, [blessing(1, blessed=False)], None, [], [], id='rejected'),
        pytest.param(
            4,
            [blessing(1), blessing(2), blessing(3, blessed=False)],
            None,
            [2],
            [102],
            id='latest blessed',
        ),
        pytest.param(1, [blessing(1)], None, [], [], id='candidate itself'),
        pytest.param(2, [blessing(1), blessing(2)], None, [1], [101], id='blessed candidate'),
        pytest.param(3, [blessing(1), blessing(2)], [1], [1], [101], id='blessed, not pushed'),
        pytest.param(3, [blessing(1), blessing(2)], [1, 2, 1], [1], [101], id='rolled back'),
        pytest.param(
            3, [blessing(1), blessing(2)], [0] * 8 + [1, 2], [2], [102], id='version 10 above 9'
        ),
        pytest.param(
            2, [blessing(1), blessing(1, number=200)], None, [1], [200], id='last of two blessings'
        ),
    ],
)
def test_resolves_baseline(resolve, count, blessings, pushed, baseline, baseline_blessing):
    models = [model(number) for number in range(1, count + 1)]

    assert resolve(models, blessings, pushed) == [baseline, baseline_blessing]


@pytest.mark.parametrize('gone', [{'/2'}, {'/1', '/2'}])
def test_skips_unusable_model_with_warning(resolve, damaged, gone):
    damaged |= gone
    models = [model(1), model(2), model(3)]
    for each in models:
        each.uri = f'/{each.id}'
    output = io.StringIO()

    with console.output_to(output):
        baseline, _ = resolve(models, [blessing(1), blessing(2)])

    assert baseline == [1] * ('/1' not in gone)
    assert output.getvalue().splitlines() == [
        f'warning: skipped an unusable blessed model: {uri} is gone'
        for uri in sorted(gone, reverse=True)
    ]


@pytest.mark.parametrize(('by_gate', 'manual_override'), [(True, False), (False, True)])
def test_override_replaces_gate_decision(resolve, tmp_path, by_gate, manual_override):
    models = [model(1), model(2), model(3)]
    models[1].uri = str(tmp_path)
    moment = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)
    override = ManualOverride(blessed=manual_override, person='eve', reason='seen', moment=moment)
    write_override(tmp_path, override)

    baseline, _ = resolve(models, [blessing(1), blessing(2, blessed=by_gate)])

    assert baseline == [2 if manual_override else 1]


@pytest.fixture
def with_classes(tmp_path):
    """`with_classes(number, *classes)`: a model with a list of classes, or without."""

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
    ('previous', 'candidate', 'compared'),
    [
        (('cats', 'dogs'), ('cats', 'dogs'), True),
        (('cats', 'dogs'), ('cats', 'dogs', 'foxes'), False),
        (('cats', 'dogs'), ('dogs', 'cats'), False),
        ((), ('cats', 'dogs'), True),  # models of older releases
    ],
)
def test_model_with_other_classes_is_no_baseline(
    resolve, with_classes, previous, candidate, compared
):
    models = [
        with_classes(1, 'cats', 'dogs', 'foxes'),
        with_classes(2, *previous),
        with_classes(3, *candidate),
    ]
    output = io.StringIO()

    with console.output_to(output):
        baseline, baseline_blessing = resolve(models, [blessing(1), blessing(2)])

    assert baseline == [2] * compared
    assert len(baseline_blessing) == len(baseline)
    assert ('not compared with the last blessed model' not in output.getvalue()) is compared
    assert ('2 classes (cats, dogs)' not in output.getvalue()) is compared

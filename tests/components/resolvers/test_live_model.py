import datetime
import io
import json

import pytest
from metadata_recorder import Recorder
from tfx.types import standard_artifacts

from common import console
from common.blessing import (
    ANCHOR_MODEL_ID,
    CURRENT_MODEL_ID,
    ManualOverride,
    write_override,
)
from components.resolvers import blessed_model
from components.resolvers.blessed_model import (
    CANDIDATE,
    AnchorModelStrategy,
    LatestOtherBlessedModelStrategy,
)

CATS_AND_DOGS = ('cats', 'dogs')
NEW = ([], [])  # gate decisions and versions of a candidate


class Models:
    """Models 1, 2, ... in ML Metadata; the last one is the candidate."""

    def __init__(self, folder):
        self.folder, self._recorder = folder, Recorder()
        self._models, self._blessings = [], []
        self.output = ''

    def add(self, decisions=(True,), versions=None, classes=None):
        """Records a model with its gate decisions and pushed versions, by default its number."""
        number = len(self._models) + 1
        folder = self.folder / str(number)
        extra = folder / 'Format-Serving' / 'assets.extra'
        extra.mkdir(parents=True)
        if classes:
            (extra.parent / 'saved_model.pb').touch()
            (extra / 'classes.json').write_text(json.dumps(classes))
        record = self._recorder.artifact
        model = record('Model', str(folder))
        self._models.append(standard_artifacts.Model())
        self._models[-1].set_mlmd_artifact(model)
        for decision in decisions:
            self._blessings.append(standard_artifacts.ModelBlessing())
            values = {'blessed': int(decision), CURRENT_MODEL_ID: model.id}
            self._blessings[-1].set_mlmd_artifact(record('ModelBlessing', **values))
        pushes = [{'pushed': 1, 'pushed_version': str(each)} for each in versions or ()]
        for values in [{'pushed': 0}, *pushes]:
            outputs = {'pushed_model': [record('PushedModel', **values)]}
            self._recorder.execution('Pusher', {'model': [model]}, outputs, [])

    def resolve(self):
        """The number of the resolved model, or None; keeps the printed output."""
        inputs = {'model': self._models, 'model_blessing': self._blessings}
        inputs[CANDIDATE], output = self._models[-1:], io.StringIO()
        with console.output_to(output):
            strategy = LatestOtherBlessedModelStrategy()
            resolved = strategy.resolve_artifacts(self._recorder.store, inputs)
        self.output = output.getvalue()
        assert resolved[CANDIDATE] == self._models[-1:]
        ids = [
            each.get_int_custom_property(CURRENT_MODEL_ID) for each in resolved['model_blessing']
        ]
        assert ids == [each.id for each in resolved['model']]
        return next((self._models.index(each) + 1 for each in resolved['model']), None)


@pytest.fixture
def damaged(monkeypatch):
    """URIs of unusable models."""
    uris: set[str] = set()
    monkeypatch.setattr(
        blessed_model, 'why_unusable', lambda uri: f'{uri} is gone' if uri in uris else None
    )
    return uris


@pytest.fixture
def models(tmp_path, damaged):
    return Models(tmp_path)


@pytest.mark.parametrize(
    ('recorded', 'baseline'),
    [
        pytest.param([NEW], None, id='first model'),
        pytest.param([([False], []), NEW], None, id='rejected'),
        pytest.param([([True], [1]), ([True], [2]), ([False], []), NEW], 2, id='latest blessed'),
        pytest.param([([True], [1]), ([True], [2])], 1, id='blessed candidate'),
        pytest.param([([True], [1]), ([True], []), NEW], 1, id='blessed, not pushed'),
        pytest.param([([True], [1, 3]), ([True], [2]), NEW], 1, id='rolled back'),
        pytest.param([([True], [9]), ([True], [10]), NEW], 2, id='version 10 above 9'),
        pytest.param([([True, False], [1]), NEW], 1, id='blessed and rejected'),
    ],
)
def test_resolves_baseline(models, recorded, baseline):
    for decisions, versions in recorded:
        models.add(decisions, versions)
    assert models.resolve() == baseline


@pytest.mark.parametrize('gone', [{2}, {1, 2}])
def test_skips_unusable_model_with_warning(models, damaged, gone):
    for number in (1, 2, 3):
        models.add(versions=[number])
    damaged |= {str(models.folder / str(number)) for number in gone}

    assert models.resolve() == (None if 1 in gone else 1)
    assert models.output.splitlines() == [
        f'warning: skipped an unusable blessed model: {uri} is gone'
        for uri in sorted(damaged, reverse=True)
    ]


@pytest.mark.parametrize(('by_gate', 'manual_override'), [(True, False), (False, True)])
def test_override_replaces_gate_decision(models, by_gate, manual_override):
    for number, decision in ((1, True), (2, by_gate), (3, True)):
        models.add([decision], [number])
    moment = '2026-11-21T00:00Z'
    override = ManualOverride(blessed=manual_override, person='eve', reason='seen', moment=moment)
    write_override(models.folder / '2', override)

    assert models.resolve() == (2 if manual_override else 1)


@pytest.mark.parametrize(
    ('previous', 'candidate', 'compared'),
    [
        (CATS_AND_DOGS, CATS_AND_DOGS, True),
        (CATS_AND_DOGS, ('cats', 'dogs', 'foxes'), False),
        (CATS_AND_DOGS, ('dogs', 'cats'), False),
        (None, CATS_AND_DOGS, True),  # a model of another pipeline
    ],
)
def test_model_with_other_classes_is_no_baseline(models, previous, candidate, compared):
    for number, classes in enumerate((('cats', 'dogs', 'foxes'), previous, candidate), 1):
        models.add(versions=[number], classes=classes)

    assert models.resolve() == (2 if compared else None)
    assert ('not compared with the live model' in models.output) is not compared
    assert ('2 classes (cats, dogs)' in models.output) is not compared


@pytest.fixture
def resolve_anchor(tmp_path, monkeypatch):
    """`resolve_anchor(baseline, anchor)`: numbers of the models 1 to 3; returns that resolved."""
    unusable = {str(tmp_path / '3'): 'it is damaged'}
    monkeypatch.setattr(blessed_model, 'why_unusable', unusable.get)
    recorder = Recorder()
    models = [standard_artifacts.Model() for _ in range(3)]
    for number, each in enumerate(models, 1):
        (tmp_path / str(number)).mkdir()
        each.set_mlmd_artifact(recorder.artifact('Model', str(tmp_path / str(number))))

    def resolve(baseline, anchor):
        blessings = []
        if baseline:
            values = {CURRENT_MODEL_ID: models[baseline - 1].id}
            if anchor:
                values[ANCHOR_MODEL_ID] = models[anchor - 1].id
            blessings.append(standard_artifacts.ModelBlessing())
            blessings[0].set_mlmd_artifact(recorder.artifact('ModelBlessing', **values))
        inputs = {'model': models, 'model_blessing': blessings}
        found = AnchorModelStrategy().resolve_artifacts(recorder.store, inputs)
        assert found['model_blessing'] == blessings
        return [models.index(each) + 1 for each in found['model']]

    return resolve


@pytest.mark.parametrize(
    ('baseline', 'anchor', 'expected'),
    [
        pytest.param(2, 1, [1], id='an earlier model was better'),
        pytest.param(2, 2, [], id='the live model is the best'),
        pytest.param(2, None, [], id='blessing of an earlier version of this program'),
        pytest.param(2, 3, [], id='damaged'),
        pytest.param(None, None, [], id='no live model'),
    ],
)
def test_resolves_best_model_so_far(resolve_anchor, baseline, anchor, expected):
    assert resolve_anchor(baseline, anchor) == expected


@pytest.mark.parametrize(('blessed', 'expected'), [(False, []), (True, [1])])
def test_best_model_must_not_be_withdrawn(resolve_anchor, tmp_path, blessed, expected):
    now = datetime.datetime.now(datetime.timezone.utc)
    override = ManualOverride(blessed=blessed, person='kim', reason='x', moment=now)
    write_override(tmp_path / '1', override)
    assert resolve_anchor(2, 1) == expected

import datetime
import io
import json
import shutil
from pathlib import Path

import pytest
from metadata_recorder import Recorder
from tfx.types import standard_artifacts

from common import console
from common.blessing import ANCHOR_MODEL_ID, CURRENT_MODEL_ID
from common.manual_override import ManualOverride, write_override
from components.pusher import reference
from components.resolvers import live_model
from components.resolvers.live_model import CANDIDATE, AnchorModelStrategy, LiveModelStrategy

CATS_AND_DOGS = ('cats', 'dogs')


class Models:
    """Models 1, 2, ... in ML Metadata and in the serving folder; the last one is the candidate."""

    def __init__(self, folder):
        self.folder, self.serving, self.recorder = folder, folder / 'serving', Recorder()
        self.models, self.blessings = [], []
        self.output = ''

    def add(self, *versions, classes=None):
        """Records a blessed model, and pushes it as these versions."""
        number = len(self.models) + 1
        folder = self.folder / 'models' / str(number)
        extra = folder / 'Format-Serving' / 'assets.extra'
        extra.mkdir(parents=True)
        (extra.parent / 'saved_model.pb').write_text(f'graph {number}')
        if classes:
            (extra / 'classes.json').write_text(json.dumps(classes))
        model = self.recorder.artifact('Model', str(folder))
        blessing = {'blessed': 1, CURRENT_MODEL_ID: model.id}
        for found, kind, record in (
            (self.models, standard_artifacts.Model(), model),
            (
                self.blessings,
                standard_artifacts.ModelBlessing(),
                self.recorder.artifact('ModelBlessing', **blessing),
            ),
        ):
            kind.set_mlmd_artifact(record)
            found.append(kind)
        for version in versions:
            shutil.copytree(extra.parent, self.serving / str(version))

    def resolve(self, candidate=True):
        """The number of the resolved model, or None; keeps the printed output."""
        inputs = {'model': self.models, 'model_blessing': self.blessings}
        if candidate:
            inputs[CANDIDATE] = self.models[-1:]
        output = io.StringIO()
        with console.output_to(output):
            strategy = LiveModelStrategy(str(self.serving), 'pets', str(self.folder / 'artifacts'))
            resolved = strategy.resolve_artifacts(self.recorder.store, inputs)
        self.output = output.getvalue()
        assert resolved.get(CANDIDATE) == inputs.get(CANDIDATE)
        (model,) = resolved['model'] or [None]
        blessed = [
            each.get_int_custom_property(CURRENT_MODEL_ID) for each in resolved['model_blessing']
        ]
        if not blessed:  # a model that was not in the metadata
            return model
        assert blessed == [model.id]
        return self.models.index(model) + 1


@pytest.fixture
def damaged(monkeypatch):
    """Numbers of unusable versions."""
    numbers: set[str] = set()
    monkeypatch.setattr(
        reference, 'why_unusable', lambda folder: 'it is gone' if folder.name in numbers else None
    )
    return numbers


@pytest.fixture
def models(tmp_path, damaged):
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
    for versions in pushed:
        models.add(*versions)
    assert models.resolve() == resolved


def test_candidate_of_a_warm_start_is_the_live_model(models):
    models.add(1)
    assert models.resolve(candidate=False) == 1


def test_model_is_that_of_the_files_whatever_the_paths_say(models):
    models.add(1)
    models.add(2)
    models.add()
    (models.serving / '2').rename(models.serving / '77')  # copied by a user
    assert models.resolve() == 2
    shutil.rmtree(models.serving / '77')
    assert models.resolve() == 1


def test_version_that_is_not_in_the_metadata_is_added_once(models):
    models.add(1)
    models.add()
    shutil.copytree(models.serving / '1', models.serving / '8')
    (models.serving / '8' / 'saved_model.pb').write_text('of a newer backup')

    found = models.resolve()

    graph = Path(found.uri) / 'Format-Serving' / 'saved_model.pb'
    assert graph.read_text() == 'of a newer backup'
    assert 'the model of version 8 was not in the metadata' in models.output
    (stored,) = models.recorder.store.get_artifacts_by_uri(found.uri)
    again = standard_artifacts.Model()
    again.set_mlmd_artifact(stored)
    models.models.insert(0, again)  # as TFX gives it to the next run
    found = models.resolve(candidate=False)
    assert (found.id, stored.state) == (again.id, stored.LIVE)
    context = models.recorder.pipeline.id
    assert stored.id in {
        each.id for each in models.recorder.store.get_artifacts_by_context(context)
    }


@pytest.mark.parametrize('gone', [{'2'}, {'1', '2'}])
def test_skips_unusable_version_with_warning(models, damaged, gone):
    for number in (1, 2):
        models.add(number)
    models.add()
    damaged |= gone

    assert models.resolve() == (None if '1' in gone else 1)
    assert models.output.splitlines() == [
        f'warning: version {number} is not used: it is gone'
        for number in sorted(gone, reverse=True)
    ]


@pytest.mark.parametrize(('blessed', 'resolved'), [(False, 1), (True, 2)])
def test_withdrawn_version_is_skipped(models, blessed, resolved):
    for versions in ([1], [2], []):
        models.add(*versions)
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


@pytest.fixture
def resolve_anchor(tmp_path, monkeypatch):
    """`resolve_anchor(baseline, anchor)`: numbers of the models 1 to 3; returns that resolved."""
    unusable = {tmp_path / '3' / 'Format-Serving': 'it is damaged'}
    monkeypatch.setattr(live_model, 'why_unusable', unusable.get)
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

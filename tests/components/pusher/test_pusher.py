from pathlib import Path

import numpy as np
import pytest
from saved_model_files import write_saved_model
from tfx.types import standard_artifacts

from common.errors import PushError
from common.manual_override import ManualOverride, write_override
from components.conversion.conversion_results import RESULT_FILE
from components.conversion.converter import ConvertedModels
from components.evaluation.comparison import compare
from components.evaluation.gate.component import GateDecisions
from components.evaluation.gate.decision import DECISION_FILE, GateDecision
from components.pusher import component
from components.pusher.serving_folder import About, read_note, versions_in
from components.pusher.versions import push

CONVERTED = """{"images": 10, "max_drop": 0.01, "saved_model": {"value": 0.9}, "models": [
 {"format": "float16", "file": "float16.tflite", "megabytes": 1, "accuracy": {"value": 0.9},
  "agreement": 1, "milliseconds": 1, "within_bound": true},
 {"format": "int8", "file": "int8.tflite", "megabytes": 1, "accuracy": {"value": 0.5},
  "agreement": 0.5, "milliseconds": 1, "within_bound": false}]}"""


class Run:
    """Runs the Pusher for a model that was trained on spans 3 and 2."""

    def __init__(self, folder: Path) -> None:
        self.serving = folder / 'serving'
        self.model, self.evaluation = (
            standard_artifacts.Model(),
            standard_artifacts.ModelEvaluation(),
        )
        self.model.uri = self.evaluation.uri = str(folder / 'model')
        write_saved_model(folder / 'model' / 'Format-Serving', 'new')
        self.examples = [standard_artifacts.Examples(), standard_artifacts.Examples()]
        for number, each in zip((3, 2), self.examples, strict=True):
            each.set_int_custom_property('span', number)

    def push(
        self,
        blessed: bool = True,
        converted: ConvertedModels | None = None,
        bucket: str = '',
        reference: Path | None = None,
        better: bool = True,
    ) -> dict[str, object]:
        """Returns the custom properties of PushedModel."""
        blessing, pushed = standard_artifacts.ModelBlessing(), standard_artifacts.PushedModel()
        blessing.set_int_custom_property('blessed', int(blessed))
        parameters = ('pets', str(self.serving), 3, bucket, 'today')
        compared = standard_artifacts.Model() if reference else None
        if compared:
            compared.uri = str(reference)
        decision = GateDecisions()
        decision.uri = str(self.serving.parent / 'decision')
        labels, predicted = np.zeros(9, int), np.arange(9) // 8
        comparison = compare(labels, *(labels, predicted)[:: 1 if better else -1])
        comparison = comparison if compared else None
        decided = GateDecision(metric='accuracy', rules=(), comparison=comparison)
        decided.write(Path(decision.uri, DECISION_FILE))
        component.Pusher.test_call(
            self.model,
            blessing,
            self.examples,
            self.evaluation,
            decision,
            *parameters,
            pushed,
            compared,
            converted,
        )
        properties = pushed.mlmd_artifact.custom_properties
        return {key: getattr(each, each.WhichOneof('value')) for key, each in properties.items()}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(component, 'read_accuracy', lambda _: 0.9)
    return Run(tmp_path)


def test_pushes_blessed_model_with_properties_of_tfx(run):
    properties = run.push()

    (version,) = versions_in(run.serving)
    assert properties == {
        'pushed': 1,
        'unchanged': 0,
        'pushed_version': version.name,
        'pushed_destination': str(version),
    }
    about = read_note(version).about
    assert (about.recipe, about.model, about.spans) == ('pets', run.model.uri, (2, 3))
    assert about.accuracy == 0.9


def test_live_model_is_pushed_and_unchanged(run):
    first = run.push()
    assert run.push() == {**first, 'unchanged': 1}


@pytest.mark.parametrize(
    ('by_gate', 'by_override', 'pushed'), [(False, None, 0), (True, False, 0), (False, True, 1)]
)
def test_pushes_if_blessed_by_override_or_else_by_gate(run, by_gate, by_override, pushed):
    if by_override is not None:
        values = {'person': 'ada', 'reason': 'why', 'moment': '2026-11-21T00:00Z'}
        write_override(Path(run.model.uri), ManualOverride(blessed=by_override, **values))
    assert run.push(blessed=by_gate)['pushed'] == pushed
    assert run.serving.exists() == bool(pushed)


def test_pushes_accurate_models_of_other_formats(run, tmp_path):
    converted = ConvertedModels()
    converted.uri = str(tmp_path / 'converted')
    Path(converted.uri).mkdir()
    Path(converted.uri, RESULT_FILE).write_text(CONVERTED)
    for file in ('float16.tflite', 'int8.tflite', 'labels.txt'):
        Path(converted.uri, file).touch()

    extra = Path(run.push(converted=converted)['pushed_destination']) / 'assets.extra'

    assert {each.name for each in extra.iterdir()} == {'float16.tflite', 'labels.txt', 'push.json'}


def test_uploads_to_the_bucket_of_the_recipe(run, s3_bucket):
    properties = run.push(bucket=f'{s3_bucket.url}/pets')
    version = properties['pushed_version']
    assert f'pets/{version}/saved_model.pb' in s3_bucket.objects
    assert f'versions: {version} '.encode() in s3_bucket.read('pets/serving.config')


@pytest.fixture
def live(run, tmp_path):
    """The folder of the model of a live version."""
    served = write_saved_model(tmp_path / 'live' / 'Format-Serving', 'live')
    push(served, run.serving, keep=3, about=About(recipe='pets'))
    return served.parent


def test_pushes_if_it_was_compared_with_the_live_model(run, live):
    assert run.push(reference=live)['pushed'] == 1


@pytest.mark.parametrize('better', [True, False])
def test_version_with_the_higher_metric_is_the_reference(run, live, better):
    before = versions_in(run.serving)[-1]
    version = Path(run.push(reference=live, better=better)['pushed_destination'])
    assert read_note(version).about.reference == (None if better else int(before.name))


@pytest.mark.parametrize('compared', [None, 'other'])
def test_model_that_was_compared_with_another_one_is_not_pushed(run, live, tmp_path, compared):
    (tmp_path / 'other' / 'Format-Serving').mkdir(parents=True)
    before = versions_in(run.serving)
    with pytest.raises(
        PushError, match=r'went live while .*; nothing is pushed: run the recipe'
    ) as e:
        run.push(reference=tmp_path / compared if compared else None)
    assert not e.value.retryable  # another push of the same run
    assert versions_in(run.serving) == before
    override = {'blessed': True, 'person': 'ada', 'reason': 'why', 'moment': '2026-11-21T00:00Z'}
    write_override(Path(run.model.uri), ManualOverride(**override))
    assert run.push()['pushed'] == 1

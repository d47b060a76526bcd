from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from common.blessing import ManualOverride, write_override
from common.errors import PushError
from components.lite_converter.component import LiteModels
from components.pusher.component import EXAMPLES, LITE_MODEL, MODEL, MODEL_BLESSING, PUSHED_MODEL
from components.pusher.component import PusherExecutor as Executor
from components.pusher.serving_folder import read_note, versions_in

LITE = """{"images": 10, "max_drop": 0.01, "saved_model": {"value": 0.9}, "models": [
 {"format": "float16", "file": "float16.tflite", "megabytes": 1, "accuracy": {"value": 0.9},
  "agreement": 1, "milliseconds": 1, "within_bound": true},
 {"format": "int8", "file": "int8.tflite", "megabytes": 1, "accuracy": {"value": 0.5},
  "agreement": 0.5, "milliseconds": 1, "within_bound": false}]}"""


class Run:
    """Runs the Pusher's executor."""

    def __init__(self, folder: Path) -> None:
        self.serving = folder / 'serving'
        self.model = standard_artifacts.Model()
        self.model.uri, self.model.id = str(folder / 'model'), 7
        served = folder / 'model' / 'Format-Serving'
        served.mkdir(parents=True)
        (served / 'saved_model.pb').write_text('graph')
        self.others: dict = {}

    def push(self, blessed: bool = True) -> standard_artifacts.PushedModel:
        blessing, pushed = standard_artifacts.ModelBlessing(), standard_artifacts.PushedModel()
        blessing.set_int_custom_property('blessed', int(blessed))
        inputs = {MODEL: [self.model], MODEL_BLESSING: [blessing], **self.others}
        properties = {'serving': str(self.serving), 'keep': 3, 'created': 'today'}
        Executor().Do(inputs, {PUSHED_MODEL: [pushed]}, properties)
        return pushed

    def override(self, blessed: bool) -> None:
        override = ManualOverride(
            blessed=blessed, person='ada', reason='why', moment='2026-11-21T00:00Z'
        )
        write_override(Path(self.model.uri), override)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def values(pushed):
    """Custom properties of PushedModel."""
    properties = pushed.mlmd_artifact.custom_properties
    return {key: getattr(each, each.WhichOneof('value')) for key, each in properties.items()}


def test_pushes_blessed_model_with_properties_of_tfx(run):
    pushed = run.push()

    (version,) = versions_in(run.serving)
    assert values(pushed) == {
        'pushed': 1,
        'unchanged': 0,
        'pushed_version': version.name,
        'pushed_destination': str(version),
    }


def test_live_model_is_pushed_and_unchanged(run):
    first = values(run.push())
    assert values(run.push()) == {**first, 'unchanged': 1}


def test_does_not_push_rejected_model(run):
    assert values(run.push(blessed=False)) == {'pushed': 0}
    assert not run.serving.exists()


@pytest.mark.parametrize('blessed', [True, False])
def test_override_replaces_gate_decision(run, blessed):
    run.override(blessed)
    assert values(run.push(blessed=not blessed))['pushed'] == int(blessed)


def test_records_model_and_spans(run):
    examples = []
    for number in (3, 2):
        examples.append(standard_artifacts.Examples())
        examples[-1].set_int_custom_property('span', number)
    run.others = {EXAMPLES: examples}

    about = read_note(Path(values(run.push())['pushed_destination'])).about

    assert (about.model, about.model_id, about.spans) == (run.model.uri, 7, (2, 3))


def test_pushes_accurate_lite_models(run, tmp_path):
    artifact = LiteModels()
    artifact.uri = str(tmp_path / 'lite')
    Path(artifact.uri).mkdir()
    for name in ('float16.tflite', 'int8.tflite'):
        (tmp_path / 'lite' / name).write_text(name)
    (tmp_path / 'lite' / 'lite.json').write_text(LITE)
    run.others = {LITE_MODEL: [artifact]}

    extra = Path(values(run.push())['pushed_destination']) / 'assets.extra'

    assert {each.name for each in extra.iterdir()} == {'float16.tflite', 'push.json'}


def test_fails_if_serving_directory_is_file(run):
    run.serving.write_text('')
    with pytest.raises(PushError, match='it is not a folder'):
        run.push()

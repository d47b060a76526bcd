"""TFX runs of Converter: only blessed models are converted."""

import datetime
from pathlib import Path

import numpy as np
import pytest
from bright_model import gray
from example_records import write_records
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing
from tfx_runs import imported, run_nodes

from common import features
from common.manual_override import ManualOverride, write_override
from components.conversion.conversion_results import RESULT_FILE, ConversionResult
from components.conversion.converter import CONVERTED_MODELS, Converter
from components.conversion.converter_config import ConverterConfig
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import write_predictions

IMAGES = [gray(20 + 40 * number, int(number > 2)) for number in range(6)]


class Stage:
    """Runs of the converter on six test images, which the SavedModel classifies correctly."""

    def __init__(self, folder, make_saved_model):
        self._folder = folder
        self.model = folder / 'model'
        make_saved_model(self.model / 'Format-Serving')
        records = [
            {features.IMAGE_BYTES: each.contents, features.LABEL: each.label} for each in IMAGES
        ]
        for split in ('train', 'test'):
            write_records(folder / 'examples' / f'Split-{split}' / 'records', records)
        self.predict(IMAGES)

    def predict(self, images):
        predicted = (
            (image, image.label, np.eye(2, dtype=np.float32)[image.label]) for image in images
        )
        write_predictions(self._folder / 'predictions', predicted)

    def run(self, blessed):
        """Returns what the node has written."""
        inputs = {'model': Model, 'examples': Examples, 'predictions': Predictions}
        nodes = {name: imported(name, self._folder / name, inputs[name]) for name in inputs}
        blessing = self._folder / f'blessing-{blessed}'
        nodes['model_blessing'] = imported(
            'blessing', blessing, ModelBlessing, blessed=int(blessed)
        )
        channels = {name: node.outputs['result'] for name, node in nodes.items()}
        keys = ConverterConfig(formats=['float16', 'int8', 'onnx']).model_dump(mode='json')
        converter = Converter(
            **channels, test_examples=channels['examples'], **keys, threshold=0.5, resize='squeeze'
        )
        return Converted(run_nodes(self._folder, *nodes.values(), converter)['Converter'])


class Converted:
    """What the node has written."""

    def __init__(self, node):
        folder = Path(node.outputs[CONVERTED_MODELS][0].uri)
        self.cached = node.cached
        self.result = ConversionResult.model_validate_json((folder / RESULT_FILE).read_bytes())
        self.files = {path.name for path in folder.iterdir()} - {RESULT_FILE}


@pytest.fixture
def stage(tmp_path, make_saved_model):
    return Stage(tmp_path, make_saved_model)


def test_only_blessed_models_are_converted_and_an_override_decides(stage):
    """A rejected model costs no conversion; a manual override invalidates the cached result."""
    override = ManualOverride(
        blessed=True,
        person='eve',
        reason='a test',
        moment=datetime.datetime.now(datetime.timezone.utc),
    )

    rejected = stage.run(blessed=False)
    assert (rejected.cached, rejected.files) == (False, set())
    assert rejected.result.skipped == 'the model is not blessed'
    assert stage.run(blessed=False).cached

    write_override(stage.model, override)
    blessed = stage.run(blessed=False)
    assert (blessed.cached, blessed.result.images) == (False, 6)
    assert blessed.files == {'float16.tflite', 'int8.tflite', 'model.onnx', 'labels.txt'}
    assert set(blessed.result.pushed) == blessed.files
    assert blessed.result.models[0].accuracy == blessed.result.saved_model

    write_override(stage.model, override.model_copy(update={'blessed': False}))
    assert stage.run(blessed=True).result.skipped == 'the model is not blessed'


def test_nothing_is_converted_without_test_images(stage):
    stage.predict([])

    assert stage.run(blessed=True).result.skipped == 'no test image is left'

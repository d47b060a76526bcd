"""TFX runs of LiteConverter and OnnxConverter: only blessed models are converted."""

import datetime
from pathlib import Path

import numpy as np
import pytest
from bright_model import gray
from example_records import write_records
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common import features
from common.manual_override import ManualOverride, write_override
from components.conversion.lite import component
from components.conversion.lite.component import LiteConverter
from components.conversion.lite.config import LITE_FILE, LiteConfig
from components.conversion.onnx.component import OnnxConverter
from components.conversion.onnx.config import ONNX_FILE, OnnxConfig
from components.conversion.results import ConversionResult
from components.evaluation.held_out.component import HeldOutImages
from components.evaluation.held_out.held_out_files import HeldOut, write_held_out
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import write_predictions
from pipeline.local.runner import ProgressDagRunner

IMAGES = [gray(20 + 40 * number, int(number > 2)) for number in range(6)]


class Stage:
    """Runs of the converter on six test images, which the SavedModel classifies correctly."""

    def __init__(self, folder, make_saved_model):
        self._folder = folder
        self.model = folder / 'model'
        make_saved_model(self.model / 'Format-Serving')
        write_records(
            folder / 'examples' / 'Split-test' / 'records',
            ({features.IMAGE_BYTES: each.contents, features.LABEL: each.label} for each in IMAGES),
        )
        predicted = ((image, image.label, np.array([image.label], np.float32)) for image in IMAGES)
        write_predictions(folder / 'predictions', predicted)
        (folder / 'held_out').mkdir()
        self.leave_out([])

    def leave_out(self, images):
        counts = HeldOut(dropped=len(images), kept=0)
        write_held_out(self._folder / 'held_out', counts, [image.key for image in images])

    def run(self, blessed):
        """Returns whether each node was cached, and its result and files, by format."""
        inputs = {
            'model': standard_artifacts.Model,
            'examples': standard_artifacts.Examples,
            'predictions': Predictions,
            'held_out': HeldOutImages,
            'transform_graph': standard_artifacts.TransformGraph,
        }
        nodes = {
            name: Importer(str(self._folder / name), kind).with_id(name)
            for name, kind in inputs.items()
        }
        nodes['model_blessing'] = Importer(
            f'{self._folder}/blessing-{blessed}',
            standard_artifacts.ModelBlessing,
            custom_properties={'blessed': int(blessed)},
        ).with_id('model_blessing')
        channels = {name: node.outputs['result'] for name, node in nodes.items()}
        only_lite = {name: channels.pop(name) for name in ('examples', 'transform_graph')}
        common = {**channels, 'test_examples': only_lite['examples'], 'threshold': 0.5, 'code': '1'}
        lite = LiteConfig(formats=['float16']).model_dump_json()
        onnx = OnnxConfig().model_dump_json()
        converters = [
            LiteConverter(**common, **only_lite, lite=lite),
            OnnxConverter(**common, onnx=onnx, image_size=32),
        ]
        runner = ProgressDagRunner()
        runner.run(
            Pipeline(
                'stage',
                str(self._folder / 'artifacts'),
                components=[*nodes.values(), *converters],
                enable_cache=True,
                metadata_connection_config=sqlite_metadata_connection_config(
                    str(self._folder / 'metadata.sqlite')
                ),
            )
        )
        return [
            Converted(runner.results[node], *names)
            for node, *names in (
                ('LiteConverter', 'lite_model', LITE_FILE),
                ('OnnxConverter', 'onnx_model', ONNX_FILE),
            )
        ]


class Converted:
    """What a node has written."""

    def __init__(self, node, key, file):
        folder = Path(node.outputs[key][0].uri)
        self.cached = node.cached
        self.result = ConversionResult.model_validate_json((folder / file).read_bytes())
        self.models = sorted(path.name for path in folder.iterdir() if path.name != file)


@pytest.fixture
def stage(tmp_path, make_saved_model, monkeypatch):
    """Without images for calibration, which float16 does not need."""
    monkeypatch.setattr(component, 'open_splits', lambda *_: {'train': None})
    monkeypatch.setattr(
        component, 'representative_images', lambda *_: np.zeros((0, 32, 32, 3), np.uint8)
    )
    return Stage(tmp_path, make_saved_model)


def test_only_blessed_models_are_converted_and_an_override_decides(stage):
    """A rejected model costs no conversion; a manual override invalidates the cached result."""
    override = ManualOverride(
        blessed=True,
        person='eve',
        reason='a test',
        moment=datetime.datetime.now(datetime.timezone.utc),
    )

    for rejected in stage.run(blessed=False):
        assert (rejected.cached, rejected.models) == (False, [])
        assert rejected.result.describe() == 'nothing is converted: the model is not blessed'
    assert all(again.cached for again in stage.run(blessed=False))

    write_override(stage.model, override)
    for blessed, file in zip(
        stage.run(blessed=False), ('float16.tflite', 'model.onnx'), strict=True
    ):
        assert (blessed.cached, blessed.models, blessed.result.images) == (False, [file], 6)
        assert blessed.result.pushed == (file,)
        assert blessed.result.models[0].accuracy == blessed.result.saved_model

    write_override(stage.model, override.model_copy(update={'blessed': False}))
    for withdrawn in stage.run(blessed=True):
        assert withdrawn.result.skipped == 'the model is not blessed'


def test_nothing_is_converted_without_test_images(stage):
    stage.leave_out(IMAGES)

    for converted in stage.run(blessed=True):
        assert converted.result.skipped == 'no test image is left'

"""The model that a training starts from, and whether an image of it is gone."""

import json
import shutil

import numpy as np
import pytest
from metadata_recorder import Recorder
from saved_model_files import write_saved_model
from tfx.types import standard_artifacts

from common.errors import ModelError
from common.features import INDEX, OTHER_SPANS
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.resolvers.warm_start import WarmStartStrategy, find_gone
from trainer.training.trained_images import TRAINED_IMAGE, index_file, span_key

SPANS = {1: 'one', 2: 'two'}  # fingerprints by number


def entries(numbers, kind, **values):
    index = np.zeros(len(numbers), kind)
    index['sha256'][:, 0] = numbers
    for name, value in values.items():
        index[name] = value
    return index


class Data:
    """Two spans of images 1 to 4 and 5 to 8, and a model of images 1 to 3 and 5 to 7."""

    def __init__(self, folder):
        self.folder, self.serving, self.recorder = folder, folder / 'serving', Recorder()
        self.model = standard_artifacts.Model()
        self.model.set_mlmd_artifact(self.recorder.artifact('Model', str(folder / 'model')))
        served = folder / 'model' / 'Format-Serving'
        write_saved_model(served, 'graph')
        trained = [
            entries((1, 2, 3), TRAINED_IMAGE, span=span_key(SPANS[1])),
            entries((5, 6, 7), TRAINED_IMAGE, span=span_key(SPANS[2])),
        ]
        np.save(index_file(str(served)), np.concatenate(trained))
        shutil.copytree(served, self.serving / '3')

    def examples(self, spans, others=None):
        """The artifacts of a run that reads these spans, each with these images."""
        found = []
        for number, images in spans.items():
            folder = self.folder / 'examples' / str(len(found)) / f'span-{number}'
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / INDEX, entries(images, IMAGE))
            artifact = standard_artifacts.Examples()
            artifact.uri = str(folder)
            artifact.set_string_custom_property(OTHER_SPANS, json.dumps(others or {}))
            found.append(artifact)
        return found

    def resolve(self, wanted, spans, others=None):
        """The resolved model, or None."""
        strategy = WarmStartStrategy(str(self.serving), 'pets', str(self.folder), wanted)
        inputs = {'model': [self.model], 'examples': self.examples(spans, others)}
        found = strategy.resolve_artifacts(self.recorder.store, inputs)
        assert found['examples'] == inputs['examples']
        (model,) = found['model'] or [None]
        return model


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path)


@pytest.mark.parametrize(
    ('spans', 'others', 'gone'),
    [
        pytest.param({1: (1, 2, 3, 4), 2: (5, 6, 7, 8)}, {}, 0, id='unchanged'),
        pytest.param({1: (1, 2, 3, 5, 6, 7, 9)}, {}, 0, id='moved to another span'),
        pytest.param({1: (2, 3, 4), 2: (5, 6, 7)}, {}, 1, id='an image was removed'),
        pytest.param({2: (5, 6, 7), 3: (9,)}, {1: 'one'}, 0, id='a span left the window'),
        pytest.param({2: (5, 6, 7), 3: (9,)}, {1: 'changed'}, 3, id='and was changed'),
        pytest.param({2: (5, 6, 7), 3: (9,)}, {}, 3, id='and was removed'),
    ],
)
def test_counts_images_that_are_gone(data, spans, others, gone, caplog):
    assert len(find_gone(data.folder / 'model', data.examples(spans, others))) == gone

    caplog.set_level('INFO')
    assert data.resolve('live', spans, others) is (None if gone else data.model)
    assert data.resolve('3', spans, others) is data.model  # chosen by name
    levels = [each.levelname for each in caplog.records]
    assert levels == ['WARNING', 'WARNING'] * bool(gone)


@pytest.mark.parametrize(('removed', 'gone'), [(0, 0), (1, 1)])
def test_file_is_not_resolved_and_images_that_are_gone_are_logged(data, removed, gone, caplog):
    spans = {1: (1, 2, 3)[removed:], 2: (5, 6, 7)}
    assert data.resolve(str(data.folder / 'model' / 'model.keras'), spans) is None
    assert [each.levelname for each in caplog.records] == ['WARNING'] * gone


def test_without_an_index_nothing_is_known_to_be_gone(data):
    index_file(str(data.folder / 'model' / 'Format-Serving')).unlink()
    assert data.resolve('live', {9: (9,)}) is data.model


def test_without_a_live_model_there_is_none(data):
    shutil.rmtree(data.serving)
    assert data.resolve('live', {1: (1,)}) is None


def test_missing_version_is_an_error(data):
    with pytest.raises(ModelError, match="'4' is neither a folder nor a version"):
        data.resolve('4', {1: (1,)})

"""A model of bright and dark images, in all formats, and images for it."""

import numpy as np
import pytest

from components.conversion.converter_config import FILES
from components.conversion.formats import write_models
from components.evaluation.predictions.prediction_files import PredictedRow
from components.inference.classifier import Classifier


@pytest.fixture(scope='session')
def noisy_images():
    """20 dark images of class 0 before 20 bright ones of 1."""
    noise = np.random.default_rng(0).integers(-30, 30, (40, 32, 32, 3))
    return (70 + 120 * np.repeat([0, 1], 20)[:, None, None, None] + noise).astype(np.uint8)


@pytest.fixture(scope='session')
def rows():
    """All predictions are right, but the label of one image is wrong."""
    predicted = [0] * 20 + [1] * 20
    return [
        PredictedRow('', label, '', {'candidate': each}, {}, {})
        for label, each in zip([1, *predicted[1:]], predicted, strict=True)
    ]


@pytest.fixture(scope='session')
def bright(make_saved_model, tmp_path_factory):
    return Classifier(make_saved_model(tmp_path_factory.mktemp('bright') / 'model', slope=0.05))


@pytest.fixture(scope='session')
def converted(bright, noisy_images, tmp_path_factory):
    """The folder of the model in all formats."""
    folder = tmp_path_factory.mktemp('converted')
    write_models(bright, [*FILES], noisy_images[::4], folder)
    return folder

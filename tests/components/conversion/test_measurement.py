"""Accuracy of converted models on the test images of the SavedModel, and those images."""

from collections import Counter

import numpy as np
import pytest
from bright_model import gray
from example_records import write_records

from common import features
from components.conversion import measurement
from components.conversion.converter_config import FILES
from components.conversion.images import read_calibration_images, read_pixels
from components.conversion.measurement import measure_models


def test_evaluates_all_models_on_same_images(converted, rows, noisy_images):
    result = measure_models([*FILES], rows, noisy_images, 0.5, 0.02, converted)

    assert (result.images, result.saved_model.value) == (40, pytest.approx(39 / 40))
    assert result.saved_model.low < 39 / 40 < result.saved_model.high
    assert [model.format for model in result.models] == [*FILES]
    for model in result.models:
        assert model.accuracy == result.saved_model
        assert model.agreement == 1
        assert model.megabytes == (converted / model.file).stat().st_size / 1e6
    assert result.pushed == ('float16.tflite', 'int8.tflite', 'model.onnx', 'labels.txt')


@pytest.mark.parametrize('wrong', [0.0, np.nan])
def test_inaccurate_model_is_not_pushed(converted, rows, noisy_images, monkeypatch, wrong):
    labels = np.array([row.label for row in rows])
    second = np.where(np.arange(40) < 30, wrong, labels)
    monkeypatch.setattr(
        measurement, 'scores_of', lambda *_: (np.stack([1 - second, second], axis=1), 0.001)
    )

    result = measure_models(['int8'], rows, noisy_images, 0.5, 0.1, converted)

    (model,) = result.models
    assert model.accuracy.value == (second == labels).mean()
    assert (model.within_bound, result.pushed) == (False, ())


def test_threshold_decides_between_two_classes(converted, rows, noisy_images, monkeypatch):
    scores = np.tile([0.3, 0.7], (40, 1))
    monkeypatch.setattr(measurement, 'scores_of', lambda *_: (scores, 0.001))

    for threshold, right in ((0.6, 21), (0.8, 19)):
        (model,) = measure_models(['onnx'], rows, noisy_images, threshold, 1, converted).models
        assert model.accuracy.value == right / 40


def test_calibration_images_do_not_depend_on_the_order_of_a_source(tmp_path):
    """A split that is sorted by class has images of one class first."""
    labels = np.repeat([0, 1, 2], [30, 6, 2]).tolist()
    grays = [gray(6 * number, label) for number, label in enumerate(labels)]
    by_order = []
    for name, images in (('sorted', grays), ('reversed', grays[::-1])):
        write_records(
            tmp_path / name / 'Split-train' / 'records',
            ({features.IMAGE_BYTES: each.contents, features.LABEL: each.label} for each in images),
        )
        by_order.append(read_calibration_images([tmp_path / name], 15, 32, 'squeeze'))

    first, again = by_order
    np.testing.assert_array_equal(first, again)
    chosen = Counter(labels[round(each.mean() / 6)] for each in first)
    assert chosen == {0: 7, 1: 6, 2: 2}


def test_reads_pixels_of_chosen_images_in_the_order_of_the_keys(tmp_path):
    file = tmp_path / 'test' / 'records'
    grays = [gray(20 * number, 0) for number in range(6)]
    write_records(
        file, ({features.IMAGE_BYTES: each.contents, features.LABEL: 0} for each in grays)
    )

    pixels = read_pixels([file], [grays[4].key, grays[1].key], 32, 'squeeze')

    assert pixels.shape == (2, 32, 32, 3)
    assert pixels.mean(axis=(1, 2, 3)).tolist() == [80, 20]

"""Drawings are reproducible, valid, not trivial, and do not leak the class."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.drawings import CLASSES, draw
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.spans import make_source

COUNT = 240
LABELS = np.arange(COUNT) % 2


@pytest.fixture(scope='module')
def jpegs():
    return [draw(index) for index in range(COUNT)]


@pytest.fixture(scope='module')
def images(jpegs):
    return [Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]


def linear_accuracy(values: np.ndarray) -> float:
    """Four-fold cross-validated accuracy of a ridge classifier."""
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(3 * values.shape[1]))
    return cross_val_score(classifier, values, LABELS, cv=4).mean()


def test_shards_draw_the_same_images_each_time(jpegs):
    source = make_source(DataConfig(count=600))
    first, second = pickle.loads(pickle.dumps(source.shards()))

    images = [next(first.images()), next(second.images())]

    assert (len(first.numbers), len(second.numbers)) == (300, 300)
    assert [image.contents for image in images] == [jpegs[0], draw(300)]
    assert (source.classes, images[1].filename) == (CLASSES, 'cat-0-300.jpg')
    assert source.counts == {'cat': 300, 'dog': 300}
    assert source.fingerprint != make_source(DataConfig(count=600, seed=1)).fingerprint


def test_drawings_are_different_rgb_jpegs_of_96_to_200_pixels(jpegs, images):
    assert len({*jpegs, draw(0, seed=1)}) == COUNT + 1
    for image in images:
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        assert 96 <= min(image.size) <= max(image.size) <= 200


def test_linear_model_fails_on_raw_pixels(images):
    small = [image.resize((32, 32), Image.Resampling.BOX) for image in images]
    assert linear_accuracy(np.stack([np.asarray(each, float).ravel() for each in small])) < 0.8


def test_size_quality_and_mean_colours_do_not_reveal_class(images, jpegs):
    values = np.array(
        [
            [*image.size, len(jpeg), max(image.quantization[0]), *np.mean(image, axis=(0, 1))]
            for image, jpeg in zip(images, jpegs, strict=True)
        ]
    )
    assert linear_accuracy(values) < 0.6

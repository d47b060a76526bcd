"""Drawings are reproducible, valid, not trivial, and do not leak the class."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from components.image_example_gen.sources.drawings.draw import CLASSES, draw
from components.image_example_gen.sources.drawings.source import DrawingsSource

COUNT = 240
LABELS = np.arange(COUNT) % 2


@pytest.fixture(scope='module')
def jpegs():
    return [draw(index) for index in range(COUNT)]


@pytest.fixture(scope='module')
def images(jpegs):
    return [Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]


def linear_accuracy(features: np.ndarray) -> float:
    """Four-fold cross-validated accuracy of a ridge classifier."""
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    correct = 0
    for fold in range(4):
        train = np.arange(COUNT) // 2 % 4 != fold  # pairs of cat and dog: every fold is balanced
        kernel = scaled @ scaled[train].T / features.shape[1]
        ridge = kernel[train] + 3 * np.eye(train.sum())
        weights = np.linalg.solve(ridge, LABELS[train] * 2.0 - 1)
        correct += np.sum((kernel[~train] @ weights > 0) == LABELS[~train])
    return correct / COUNT


def test_shards_draw_the_same_bytes_in_subprocesses(jpegs, monkeypatch):
    monkeypatch.setattr('components.image_example_gen.sources.drawings.source._PER_SHARD', 60)
    source = DrawingsSource(100, 0)
    shards = pickle.loads(pickle.dumps(source.shards()))
    assert [len(shard.numbers) for shard in shards] == [60, 40]
    images = list(shards[1].images())
    assert [image.contents for image in images] == jpegs[60:100]
    assert [image.label for image in images] == [0, 1] * 20
    assert (source.classes, images[0].filename) == (CLASSES, 'cat-0-60.jpg')
    assert source.fingerprint != DrawingsSource(100, 1).fingerprint


def test_drawings_are_different_rgb_jpegs_of_96_to_200_pixels(jpegs, images):
    assert len({*jpegs, draw(0, seed=1)}) == COUNT + 1
    for image in images:
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        assert 96 <= min(image.size) <= max(image.size) <= 200


def test_linear_model_fails_on_raw_pixels(images):
    small = [image.convert('RGB').resize((32, 32), Image.Resampling.BOX) for image in images]
    assert linear_accuracy(np.stack([np.asarray(each, float).ravel() for each in small])) < 0.8


def test_size_quality_and_mean_colours_do_not_reveal_class(images, jpegs):
    features = np.array(
        [
            [*image.size, len(jpeg), max(image.quantization[0]), *np.mean(image, axis=(0, 1))]
            for image, jpeg in zip(images, jpegs, strict=True)
        ]
    )
    assert linear_accuracy(features) < 0.6
    features[:, 2] += LABELS * 2 * features[:, 2].std()
    assert linear_accuracy(features) > 0.75  # detects a leak

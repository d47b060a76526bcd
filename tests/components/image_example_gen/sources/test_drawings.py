"""Drawings are reproducible, valid, not trivial, and do not leak the class."""

import hashlib
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.image_example_gen.sources.drawings.animal import COATS, EARS
from components.image_example_gen.sources.drawings.draw import CLASSES, draw
from components.image_example_gen.sources.drawings.parameters import sample
from components.image_example_gen.sources.drawings.source import DrawingsSource

COUNT = 600
LABELS = np.arange(COUNT) % 2


@pytest.fixture(scope='module')
def jpegs() -> list[bytes]:
    return [draw(index) for index in range(COUNT)]


def image_of(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def linear_accuracy(features: np.ndarray) -> float:
    """Four-fold cross-validated accuracy of a ridge classifier, for the best of three penalties."""
    scores = np.zeros(3)
    folds = np.arange(COUNT) // 2 % 4  # cat and dog pairs, so that every fold is balanced
    for fold in range(4):
        train, test = folds != fold, folds == fold
        mean, deviation = features[train].mean(axis=0), features[train].std(axis=0) + 1e-9
        scaled = (features - mean) / deviation / np.sqrt(features.shape[1])
        kernel = scaled @ scaled[train].T
        targets = LABELS[train] * 2.0 - 1
        for position, penalty in enumerate((0.3, 3, 30)):
            dual = np.linalg.solve(kernel[train] + penalty * np.eye(train.sum()), targets)
            scores[position] += np.mean((kernel[test] @ dual > 0) == LABELS[test]) / 4
    return float(scores.max())


def test_drawings_do_not_depend_on_order() -> None:
    forwards = [draw(index) for index in range(6)]
    backwards = [draw(index) for index in reversed(range(6))]
    assert forwards == backwards[::-1]


def test_subprocess_draws_the_same_bytes_without_tensorflow() -> None:
    program = (
        'import hashlib, sys; from components.image_example_gen.sources.drawings.draw import draw; '
        'print(hashlib.sha256(draw(7, seed=3)).hexdigest(), '
        '{"tensorflow", "tfx", "apache_beam"} & set(sys.modules))'
    )
    root = Path(__file__).parents[4]
    output = subprocess.check_output([sys.executable, '-c', program], cwd=root, text=True)

    assert output.split() == [hashlib.sha256(draw(7, seed=3)).hexdigest(), 'set()']


def test_shards_are_pickled_and_yield_labelled_images(
    jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('components.image_example_gen.sources.drawings.source._PER_SHARD', 60)
    shards = DrawingsSource(100, 0).shards()
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 60), (60, 100)]
    images = list(pickle.loads(pickle.dumps(shards[1])).images())
    assert [image.contents for image in images] == jpegs[60:100]
    assert [image.label for image in images] == [0, 1] * 20
    assert images[0].filename == 'cat-0-60.jpg'


def test_all_drawings_differ(jpegs: list[bytes]) -> None:
    assert len(set(jpegs)) == COUNT


def test_seed_changes_drawings(jpegs: list[bytes]) -> None:
    assert draw(0, seed=1) not in jpegs


def test_drawings_are_rgb_jpegs_of_96_to_200_pixels(jpegs: list[bytes]) -> None:
    for jpeg in jpegs:
        image = image_of(jpeg)
        image.load()
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        assert 96 <= min(image.size) <= max(image.size) <= 200


@pytest.mark.parametrize(('index', 'seed'), [(-1, 0), (0, -1)])
def test_rejects_negative_arguments(index: int, seed: int) -> None:
    with pytest.raises(ValueError, match='must not be negative'):
        draw(index, seed=seed)


def test_class_alternates_with_index(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def spy(species: str, rng: np.random.Generator) -> object:
        drawn.append(species)
        return sample(species, rng)

    monkeypatch.setattr('components.image_example_gen.sources.drawings.draw.sample', spy)
    for index in range(4):
        draw(index)
    assert tuple(drawn) == CLASSES * 2


@pytest.mark.parametrize('species', CLASSES)
def test_sampled_ears_and_coats_exist(species: str) -> None:
    for seed in range(200):
        parameters = sample(species, np.random.default_rng(seed))
        assert parameters.anatomy.ears in EARS
        assert parameters.coat.pattern in COATS


def test_only_the_anatomy_depends_on_the_species() -> None:
    cat, dog = (sample(species, np.random.default_rng(5)) for species in CLASSES)
    assert (cat.pose, cat.coat, cat.camera) == (dog.pose, dog.coat, dog.camera)
    assert cat.anatomy != dog.anatomy


def gray(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert('L').resize((32, 32), Image.Resampling.BOX), float).ravel()


def colour(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((32, 32), Image.Resampling.BOX), float).ravel()


@pytest.mark.parametrize('pixels', [gray, colour])
def test_linear_model_fails_on_raw_pixels(
    jpegs: list[bytes], pixels: Callable[[Image.Image], np.ndarray]
) -> None:
    features = np.stack([pixels(image_of(jpeg)) for jpeg in jpegs])
    assert linear_accuracy(features) < 0.8


def test_size_and_mean_colours_do_not_reveal_class(jpegs: list[bytes]) -> None:
    def statistics(jpeg: bytes) -> list[float]:
        image = image_of(jpeg)
        values = np.asarray(image, float)
        brightness = values.mean(axis=(0, 1))
        coarsest = max(image.quantization[0])  # of the JPEG tables: a proxy of the quality
        size = (image.width, image.height, image.width / image.height, len(jpeg), coarsest)
        return [*size, values.mean(), *brightness]

    features = np.array([statistics(jpeg) for jpeg in jpegs])
    assert linear_accuracy(features) < 0.6


def test_linear_model_detects_leakage() -> None:
    noise = np.random.default_rng(0).standard_normal((COUNT, 5))
    noise[:, 2] += LABELS * 2
    assert linear_accuracy(noise) > 0.75

"""The drawings: reproducible, valid, and neither trivial nor leaky."""

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


def answer_of_another_process(program: str) -> str:
    root = Path(__file__).parents[4]
    command = [sys.executable, '-c', program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def linear_accuracy(features: np.ndarray) -> float:
    """Mean test accuracy of a ridge classifier, the best of three penalties, in four folds."""
    scores = np.zeros(3)
    folds = np.arange(COUNT) // 2 % 4  # whole pairs, so that every fold is balanced
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


def test_same_arguments_give_same_bytes_in_any_order() -> None:
    forwards = [draw(index) for index in range(6)]
    backwards = [draw(index) for index in reversed(range(6))]
    assert forwards == backwards[::-1]


def test_another_process_gives_the_same_bytes() -> None:
    answer = answer_of_another_process(
        'import hashlib; from components.image_example_gen.sources.drawings.draw import draw; '
        'print(hashlib.sha256(draw(7, seed=3)).hexdigest())'
    )
    assert answer == hashlib.sha256(draw(7, seed=3)).hexdigest()


def test_the_generator_does_not_import_tensorflow() -> None:
    answer = answer_of_another_process(
        'import sys, components.image_example_gen.sources.drawings; '
        'print(sorted({"tensorflow", "tfx", "apache_beam"} & set(sys.modules)))'
    )
    assert answer == '[]'


def test_drawings_come_in_parts_that_can_be_sent_to_another_process(
    jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('components.image_example_gen.sources.drawings.source._PER_SHARD', 60)
    shards = DrawingsSource(100, 0).shards()
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 60), (60, 100)]
    images = list(pickle.loads(pickle.dumps(shards[1])).images())
    assert [image.contents for image in images] == jpegs[60:100]
    assert [image.label for image in images] == [0, 1] * 20
    assert images[0].filename == 'cat-0-60.jpg'


def test_every_drawing_differs(jpegs: list[bytes]) -> None:
    assert len(set(jpegs)) == COUNT


def test_another_seed_gives_other_drawings(jpegs: list[bytes]) -> None:
    assert draw(0, seed=1) not in jpegs


def test_every_drawing_is_an_rgb_jpeg_of_the_promised_size(jpegs: list[bytes]) -> None:
    for jpeg in jpegs:
        image = image_of(jpeg)
        image.load()
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        assert 96 <= min(image.size) <= max(image.size) <= 200


@pytest.mark.parametrize(('index', 'seed'), [(-1, 0), (0, -1)])
def test_negative_arguments_are_refused(index: int, seed: int) -> None:
    with pytest.raises(ValueError, match='must not be negative'):
        draw(index, seed=seed)


def test_the_class_alternates_with_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def spy(species: str, rng: np.random.Generator) -> object:
        drawn.append(species)
        return sample(species, rng)

    monkeypatch.setattr('components.image_example_gen.sources.drawings.draw.sample', spy)
    for index in range(4):
        draw(index)
    assert tuple(drawn) == CLASSES * 2


@pytest.mark.parametrize('species', CLASSES)
def test_samples_name_only_ears_and_coats_that_exist(species: str) -> None:
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
def test_raw_pixels_are_too_hard_for_a_linear_model(
    jpegs: list[bytes], pixels: Callable[[Image.Image], np.ndarray]
) -> None:
    features = np.stack([pixels(image_of(jpeg)) for jpeg in jpegs])
    assert linear_accuracy(features) < 0.8


def test_size_bytes_and_mean_colours_do_not_tell_the_class(jpegs: list[bytes]) -> None:
    def statistics(jpeg: bytes) -> list[float]:
        image = image_of(jpeg)
        values = np.asarray(image, float)
        brightness = values.mean(axis=(0, 1))
        coarsest = max(image.quantization[0])  # of the JPEG tables: stands for the quality
        size = (image.width, image.height, image.width / image.height, len(jpeg), coarsest)
        return [*size, values.mean(), *brightness]

    features = np.array([statistics(jpeg) for jpeg in jpegs])
    assert linear_accuracy(features) < 0.6


def test_the_linear_model_of_these_tests_finds_a_leak_when_there_is_one() -> None:
    noise = np.random.default_rng(0).standard_normal((COUNT, 5))
    noise[:, 2] += LABELS * 2
    assert linear_accuracy(noise) > 0.75

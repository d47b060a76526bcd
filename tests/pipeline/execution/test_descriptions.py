"""Console output of a run: its data and its initial weights."""

from types import SimpleNamespace

import pytest

from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.spans import open_window
from pipeline.execution.recipe_checks import describe_data, describe_weights
from trainer.config.train import TrainConfig


def test_describes_folder_with_images_and_classes(tmp_path, make_image_folder):
    path = make_image_folder(tmp_path, per_class=1)
    data = DataConfig(source='folder', path=path)

    assert (
        describe_data(data, open_window(data)) == f'folder {path}: 2 images, 2 classes (cats, dogs)'
    )


@pytest.mark.parametrize(
    ('numbers', 'classes', 'expected'),
    [
        ([1], ('cat', 'dog'), ': 2,000 images, 2 classes (cat, dog)'),
        ([1], 'abcdefg', ': 2,000 images, 7 classes (a, b, c, d, e, ...)'),
        ([7], ('cat', 'dog'), ', span 7: 2,000 images, 2 classes (cat, dog)'),
        ([3, 4], ('cat', 'dog'), ', spans 3 and 4: 4,000 images, 2 classes (cat, dog)'),
    ],
)
def test_describes_images_classes_and_spans(numbers, classes, expected):
    source = SimpleNamespace(classes=classes, count=2000)
    spans = [SimpleNamespace(number=n, source=source) for n in numbers]
    data = DataConfig(source='folder', path='/pets')

    assert describe_data(data, spans) == f'folder /pets{expected}'


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({}, 'generated drawings'),
        ({'source': 'tfds', 'dataset': 'cats_vs_dogs'}, 'cats_vs_dogs of TensorFlow Datasets'),
        ({'source': 'parquet', 'path': '/a.parquet'}, 'parquet /a.parquet'),
        ({'source': 'archive', 'url': 'https://me:pw@host/a.zip?key=1'}, 'https://***@host/a.zip'),
        ({'source': 'folder', 'url': 's3://bucket/pets'}, 'folder s3://bucket/pets'),
    ],
)
def test_names_source_and_place_without_secrets(values, words):
    text = DataConfig(**values).describe()

    assert words in text
    assert 'pw' not in text
    assert 'key' not in text


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (
            {'weights': 'embedded'},
            'pretrained: embedded (formula-generated images, no download)',
        ),
        ({'weights': 'imagenet'}, 'pretrained: imagenet'),
        ({'weights': 'mine.weights.h5'}, 'pretrained: mine.weights.h5'),
        ({'weights': 'random'}, 'random initialization: not pretrained'),
        (
            {'weights': 'embedded', 'warm_start': 'latest_blessed'},
            'last blessed model if there is one, else embedded',
        ),
    ],
)
def test_describes_initial_weights(changes, expected):
    trainer = TrainConfig.model_validate({'image_size': 96, 'alpha': 0.35, **changes})

    assert describe_weights(trainer) == f'MobileNetV2 0.35 at 96x96, {expected}'

"""Checks of a recipe against its data before a run."""

import pytest

from common.errors import ConfigError, PipelineError
from pipeline.config.recipe import Recipe
from pipeline.execution import recipe_checks
from pipeline.execution.recipe_checks import check, check_classes, check_network

LIVE = ('cats', 'dogs')
MORE = ('birds', *LIVE)


@pytest.mark.parametrize(
    ('spans', 'window', 'data'),
    [
        ((), 1, ': 4 images, 2 classes (cats, dogs)'),
        ((3, 4), 2, ', spans 3 and 4: 8 images, 2 classes (cats, dogs)'),
    ],
)
def test_returns_and_logs_classes_and_images(
    tmp_path, make_image_folder, monkeypatch, caplog, spans, window, data
):
    folders = [f'span-{number}' for number in spans] or ['']
    for seed, folder in enumerate(folders):
        make_image_folder(tmp_path / 'pets' / folder, per_class=2, seed=seed)
    values = {'source': 'folder', 'path': tmp_path / 'pets', 'window': window}
    trainer = {'weights': 'random', 'warm_start': 'live', 'image_size': 96, 'alpha': 0.35}
    monkeypatch.setattr(recipe_checks, 'check_network', lambda *_: None)
    caplog.set_level('INFO')

    found = check(Recipe(name='pets', workdir=tmp_path, data=values, trainer=trainer))

    assert found == (LIVE, 4 * len(folders))
    assert caplog.messages == [
        f'data: folder {tmp_path}/pets{data}',
        'network: MobileNetV2 0.35 at 96 pixels, weights: those of the live model, or random',
    ]


@pytest.mark.parametrize(
    ('wanted', 'message'),
    [
        ('8', "'8' is neither a folder nor a version"),
        ('no/model.keras', 'trainer.warm_start: no/model.keras or the trained_on.npy next to it'),
    ],
)
def test_missing_version_or_file_of_a_warm_start_is_an_error(
    tmp_path, make_image_folder, wanted, message
):
    data = {'source': 'folder', 'path': make_image_folder(tmp_path / 'pets', per_class=2)}
    trainer = {'weights': 'random', 'warm_start': wanted}
    with pytest.raises(PipelineError, match=message):
        check(Recipe(name='pets', workdir=tmp_path, data=data, trainer=trainer))


@pytest.mark.parametrize(
    ('live', 'listed', 'warns'), [(None, None, False), (MORE, None, False), (LIVE, MORE, True)]
)
def test_listed_classes_and_those_of_the_live_model_are_accepted(live, listed, warns, caplog):
    data = {'source': 'folder', 'path': 'images', 'classes': listed}
    check_classes(Recipe(name='pets', data=data), MORE, live)
    assert ['replaces it without a comparison' in each for each in caplog.messages] == [
        True
    ] * warns


@pytest.mark.parametrize('classes', [MORE, ('dogs', 'cats'), ('cats', 'owls')])
def test_other_classes_than_those_of_the_live_model_need_the_key(classes):
    with pytest.raises(ConfigError) as raised:
        check_classes(
            Recipe(name='pets', data={'source': 'folder', 'path': 'images'}), classes, LIVE
        )
    assert f'({", ".join(classes)}), but the live model has 2 classes' in str(raised.value)
    assert 'data.classes: ["cats", "dogs"]' in str(raised.value)


def lambda_model(size):
    import keras

    double = keras.layers.Lambda(lambda images: 2 * images)
    return keras.Sequential([keras.Input((size, size, 3)), double, keras.layers.Conv2D(8, 3)])


def test_model_that_cannot_be_copied_stops_the_run():
    model = f'{__name__}:lambda_model'
    trainer = {'model': model, 'weights': 'random', 'image_size': 32}
    recipe = Recipe(name='pets', data={'source': 'folder', 'path': 'images'}, trainer=trainer)
    with pytest.raises(ConfigError, match=f'trainer.model: {model} raised'):
        check_network(recipe, 100)

"""`init`: looks at images, and writes a recipe with comments."""

import shlex
from pathlib import Path

import click.testing
import PIL.Image
import pytest
import required
import yaml

from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.config.recipe import load_recipe
from pipeline.new_recipe import survey as survey_module
from pipeline.new_recipe.choices import name_of
from pipeline.new_recipe.survey import survey
from pipeline_runner import main

SIX = ('cardboard', 'glass', 'metal', '1', 'yes', 'Grüne Tonne: a # b')


@pytest.fixture
def init(tmp_path, monkeypatch):
    """`init(*words)` calls the command in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        return click.testing.CliRunner().invoke(main, ['init', *map(str, words)])

    return call


@pytest.fixture
def trash(tmp_path, make_image_folder):
    """Sixty photographs of six classes, two of which cannot be used."""
    folder = make_image_folder(tmp_path / 'My trash', per_class=10, classes=SIX)
    (folder / 'glass' / 'glass-0-0.jpg').write_bytes(b'no image')
    image = folder / 'metal' / 'metal-0-0.jpg'
    image.write_bytes(image.read_bytes()[:700])
    PIL.Image.new('RGB', (64, 48)).save(folder / 'metal' / 'more.png')
    return folder


def test_prints_what_it_found_and_writes_a_recipe_that_says_what_it_is_based_on(
    init, trash, tmp_path
):
    lines = init('My trash').stdout.splitlines()

    assert lines[0] == f'data: folder {trash}; a folder per class'
    assert lines[1].startswith('images: 61; 6 classes: 1 10, Grüne Tonne: a # b 10, cardboard 10, ')
    assert lines[2].startswith('sizes: 48 to 64 pixels')
    assert lines[3] == 'formats: JPEG 58, PNG 1'
    assert lines[4].startswith('unreadable: ')
    assert 'glass/glass-0-0.jpg: ' in lines[4]
    assert 'metal/metal-0-0.jpg: ' in lines[4]
    assert lines[6] == 'splits: about 37 train, 12 eval, 12 test'
    assert lines[7].endswith('; with fewer than 60 test images, a worse model may pass by chance')
    files = [f'picture: {tmp_path}/recipe.png', f'recipe: {tmp_path}/recipe.yaml']
    assert lines[-3:-1] == files
    assert lines[-1].endswith(' run')
    text = (tmp_path / 'recipe.yaml').read_text()
    assert '\n# The images: a folder per class.\n' in text
    assert "    - 'Grüne Tonne: a # b'  # 10 images\n" in text
    assert yaml.safe_load(text)['data']['path'] == 'My trash'
    recipe = load_recipe('recipe.yaml')
    assert (recipe.name, recipe.home) == ('my_trash', tmp_path / 'runs' / 'my_trash')
    assert recipe.data.classes == tuple(sorted(SIX))
    assert recipe.trainer.fine_tune.auto == ('from_layer', 'epochs', 'learning_rate')
    assert (recipe.evaluation.metric, recipe.evaluation.minimum) == ('accuracy', None)


def test_reads_photographs_of_telephones(init, tmp_path):
    heic = required.package('pillow_heif')
    for name, colour in (('red', (200, 9, 9)), ('blue', (9, 9, 200))):
        (tmp_path / 'phone' / name).mkdir(parents=True)
        image = PIL.Image.new('RGB', (96, 64), colour)
        heic.from_pillow(image).save(tmp_path / 'phone' / name / '1.heic')
        image.save(tmp_path / 'phone' / name / '2.avif')

    lines = init('phone').stdout.splitlines()

    assert lines[2].startswith('sizes: 64 to 96 pixels')
    assert sorted(lines[3].removeprefix('formats: ').split(', ')) == ['AVIF 2', 'HEIC 2']
    assert lines[4] == 'unreadable: none'


@pytest.mark.parametrize('file', ['mine.yaml', 'mine.png'])
def test_existing_file_is_replaced_only_with_force(init, trash, tmp_path, file):
    (tmp_path / file).write_text('mine')

    refused = init('My trash', '-o', 'mine.yaml')
    before = (tmp_path / file).read_text()
    replaced = init('My trash', '-o', 'mine.yaml', '--force')

    assert (refused.exit_code, before) == (2, 'mine')
    assert refused.stderr.startswith(f'error: {tmp_path / file} exists; add --force to replace it')
    assert replaced.stdout.splitlines()[-1].endswith(' run --config=mine.yaml')
    assert load_recipe('mine.yaml').name == 'my_trash'
    with PIL.Image.open(tmp_path / 'mine.png') as drawn:
        assert drawn.width > drawn.height > 6 * 80  # rows


def test_set_follows_the_advice_of_an_error(init, make_image_folder):
    pets = make_image_folder(Path('pets'), per_class=10)
    rows = [f'{file},{file.parent.name},me' for file in sorted(pets.rglob('*.jpg'))]
    Path('pets.csv').write_text('\n'.join(['where,what,who', *rows]))

    refused = init('pets.csv')
    options = ['data.columns.image=where', 'data.columns.label=what', 'data.splits.test=3']
    done = init('pets.csv', *(f'--set={each}' for each in options))

    assert refused.exit_code == 2
    assert 'data.columns' in refused.stderr
    assert done.exit_code == 0, done.output
    data = load_recipe('recipe.yaml').data
    assert (data.columns.image, data.columns.label) == ('where', 'what')
    assert data.classes == ('cats', 'dogs')
    assert data.splits.test == 3


def test_set_groups_images_as_a_note_proposes(init, make_image_folder):
    for part, seed in (('train', 0), ('test', 1)):
        folder = make_image_folder(Path('pets', part), per_class=6, seed=seed)
        for file in folder.rglob('*.jpg'):
            _, number = file.stem.rsplit('-', 1)
            file.rename(file.with_name(f'person{number}_{seed}.jpg'))
    (note,) = [line for line in init('pets').stdout.splitlines() if line.startswith('note: of')]

    done = init('pets', '--force', *shlex.split(note.partition('add ')[2]))

    assert done.exit_code == 0, done.output
    assert 'note: of' not in done.stdout
    assert load_recipe('recipe.yaml').data.group_by.pattern in note


@pytest.mark.parametrize(
    ('value', 'classes', 'printed'),
    [
        ("['yes', glass]", ('yes', 'glass'), '2 classes: yes 10, glass 10'),
        ("{'yes': '1', glass: a}", {'yes': '1', 'glass': 'a'}, '2 classes: 1 20, a 10'),
    ],
)
def test_set_chooses_classes(init, trash, value, classes, printed):
    assert printed in init('My trash', '--set', f'data.classes={value}').stdout
    assert load_recipe('recipe.yaml').data.classes == classes


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nowhere'], 'nowhere does not exist'),
        (['My trash/glass'], 'has no class folders'),
        (['empty'], 'holds no images'),
        (['damaged'], 'no image can be read, such as a/1.jpg: '),
        (['My trash', '--weights', 'none.h5'], 'none.h5 does not exist'),
        (['My trash', '-o', 'nowhere/recipe.yaml'], 'nowhere does not exist'),
        (['My trash', '-o', '.'], 'give the name of a file that ends in .yaml'),
        (['My trash', '-o', 'recipe.png'], 'give the name of a file that ends in .yaml'),
        (['My trash', '--set', 'trainer.seed=8'], '--set trainer.seed: init sets keys of data'),
        (['.'], 'is in the folder of the images, where the runs would be read as images; '),
        (['My trash', '-o', 'My trash/recipe.yaml'], 'My trash is in the folder of the images, '),
    ],
)
def test_unusable_arguments_write_nothing(init, trash, tmp_path, words, message):
    (tmp_path / 'empty').mkdir()
    for name in 'ab':
        (tmp_path / 'damaged' / name).mkdir(parents=True)
        (tmp_path / 'damaged' / name / '1.jpg').write_bytes(b'no image')
    done = init(*words)

    assert done.exit_code == 2
    assert done.stderr.startswith('error: ')
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
    assert not (tmp_path / 'recipe.yaml').exists()


def test_weights_without_a_download(init, trash, tmp_path):
    assert init('My trash', '--weights', 'embedded').exit_code == 0
    embedded = load_recipe('recipe.yaml')
    assert embedded.trainer == load_recipe('demo').trainer

    assert init('My trash', '--weights', 'random', '--force').exit_code == 0
    fine_tune = load_recipe('recipe.yaml').trainer.fine_tune
    assert (fine_tune.from_layer, fine_tune.auto) == (0, ())  # frozen random layers are no use
    file = tmp_path / 'mine.weights.h5'
    file.write_bytes(b'\x89HDF\r\n\x1a\n')
    assert init('My trash', '--weights', 'mine.weights.h5', '--force').exit_code == 0
    assert load_recipe('recipe.yaml').trainer.weights == str(file)


@pytest.mark.parametrize(('side', 'size'), [(20, 96), (128, 128), (129, 160), (400, 160)])
def test_image_size_is_the_smallest_that_shrinks_no_image(init, make_image_folder, side, size):
    make_image_folder(Path('pets'), per_class=3, size=(side + 9, side))

    assert init('pets').exit_code == 0
    assert load_recipe('recipe.yaml').trainer.image_size == size


@pytest.mark.parametrize(
    ('classes', 'named'), [(('0', '1', '10'), True), (('A', 'b'), True), (('cats', '1'), False)]
)
def test_names_mirror_images_of_digits_and_letters(init, make_image_folder, classes, named):
    make_image_folder(Path('signs'), per_class=3, classes=classes)

    assert ('trainer.augment.flip' in init('signs').stdout) == named


def test_many_images_are_sampled_from_all_classes(tmp_path, make_image_folder, monkeypatch):
    monkeypatch.setattr(survey_module, '_MOST_IMAGES', 600)
    folder = make_image_folder(tmp_path / 'pets', per_class=800, size=(16, 16))
    found = survey(DataConfig(source='folder', path=folder), 'classes')

    assert found.classes == {'cats': 800, 'dogs': 800}
    assert found.read < 1000
    shown = [name.class_name for name in found.names]
    assert abs(shown.count('cats') - shown.count('dogs')) <= 2
    assert sum(found.split(DataConfig().splits).values()) == pytest.approx(1600, abs=2)


@pytest.mark.parametrize(
    ('folders', 'options', 'printed', 'key', 'value'),
    [
        # Half of a small validation folder becomes the test split.
        ({'train': 40, 'validation': 20}, [], 'about 80 train, 20 eval, 20 test', 'splits', 0.5),
        ({'train': 30, 'val': 20, 'test': 10}, [], 'about 60 train, 40 eval, 20', 'path', 'pets'),
        ({'span-1': 10, 'span-2': 10, 'span-3': 10}, [], '; spans 1 to 3', 'window', 'all'),
        ({'span-1': 10, 'span-2': 10}, ['--set', 'data.window=1'], 'images: 20; ', 'window', 1),
    ],
)
def test_divided_folders(init, make_image_folder, folders, options, printed, key, value):
    for seed, (folder, number) in enumerate(folders.items()):
        make_image_folder(Path('pets', folder), per_class=number, seed=seed)

    done = init('pets', *options)

    assert printed in done.stdout
    written = yaml.safe_load(Path('recipe.yaml').read_text())['data'].get(key)
    assert value == (written['test_share_of_validation'] if key == 'splits' else written)


def test_classes_in_names_of_files(init, make_image_folder):
    Path('flat').mkdir()
    for number, file in enumerate(sorted(make_image_folder(Path('pets'), 10).rglob('*.jpg'))):
        file.rename(Path('flat', f'{file.parent.name}.{number}.jpg'))

    assert init('flat').exit_code == 0
    data = load_recipe('recipe.yaml').data
    assert (data.source, data.classes) == ('folder', ('cats', 'dogs'))
    assert data.label_pattern


def test_name_has_no_secrets_of_a_url():
    assert name_of('https://me:password@host/My%20Pets.zip?key=1') == 'my_20pets'
    assert name_of('s3://bucket/pets/') == 'pets'
    assert name_of('../..') == 'photographs'

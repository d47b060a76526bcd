"""`init`: looks at images, and writes a recipe with comments."""

import shlex
from pathlib import Path

import click.testing
import PIL.Image
import pytest
import required
import yaml

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.config.recipe import load_recipe
from pipeline.new_recipe import survey as survey_module
from pipeline.new_recipe.choices import name_of
from pipeline.new_recipe.survey import evident_groups, survey
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


def test_recipe_loads_and_says_what_its_values_are_based_on(init, trash, tmp_path):
    done = init('My trash')

    assert done.exit_code == 0, done.output
    text = (tmp_path / 'recipe.yaml').read_text()
    assert '\n# The images: a folder per class.\n' in text
    assert "    - 'Grüne Tonne: a # b'  # 10 images\n" in text
    recipe = load_recipe(str(tmp_path / 'recipe.yaml'))
    assert recipe.name == 'my_trash'
    assert recipe.data.path == trash
    assert recipe.data.classes == tuple(sorted(SIX))
    assert recipe.home == tmp_path / 'runs' / 'my_trash'
    assert recipe.trainer.fine_tune == load_recipe('small').trainer.fine_tune
    assert recipe.evaluation.undecided == 'push'
    assert recipe.evaluation.min_images <= 12
    assert yaml.safe_load(text)['data']['path'] == 'My trash'


def test_prints_what_it_found_and_the_next_command(init, trash, tmp_path):
    lines = init('My trash').stdout.splitlines()

    assert lines[0] == f'data: folder {trash}; a folder per class'
    assert lines[1].startswith('images: 61; 6 classes: 1 10, Grüne Tonne: a # b 10, cardboard 10, ')
    assert lines[2].startswith('sizes: 48 to 64 pixels')
    assert lines[3] == 'formats: JPEG 58, PNG 1'
    assert lines[4].startswith('unreadable: ')
    assert 'glass/glass-0-0.jpg: ' in lines[4]
    assert 'metal/metal-0-0.jpg: ' in lines[4]
    assert lines[6] == 'splits: about 37 train, 12 eval, 12 test'
    assert lines[-3] == f'picture: {tmp_path}/recipe.png'
    assert lines[-2] == f'recipe: {tmp_path}/recipe.yaml'
    assert lines[-1].endswith(' run')


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


def test_existing_recipe_is_replaced_only_with_force(init, trash, tmp_path):
    recipe = tmp_path / 'mine.yaml'
    recipe.write_text('name: mine')

    refused = init('My trash', '-o', 'mine.yaml')
    before = recipe.read_text()
    replaced = init('My trash', '-o', 'mine.yaml', '--force')

    assert (refused.exit_code, before) == (2, 'name: mine')
    assert refused.stderr == f'error: {recipe} exists; add --force to replace it, or give -o FILE\n'
    assert replaced.exit_code == 0
    assert replaced.stdout.splitlines()[-1].endswith(' run --config=mine.yaml')
    assert load_recipe('mine.yaml').name == 'my_trash'


def test_picture_of_another_program_is_kept(init, trash, tmp_path):
    picture = tmp_path / 'recipe.png'
    picture.write_text('mine')

    assert f'{picture} exists' in init('My trash').stderr
    assert picture.read_text() == 'mine'
    assert init('My trash', '--force').exit_code == 0
    with PIL.Image.open(picture) as drawn:
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


def test_set_chooses_classes_and_refuses_other_keys(init, trash):
    done = init('My trash', '--set', "data.classes=['yes', glass]")
    assert '2 classes: yes 10, glass 10' in done.stdout
    assert load_recipe('recipe.yaml').data.classes == ('yes', 'glass')
    init('My trash', '--force', '--set', "data.classes={'yes': '1', glass: a}")
    assert load_recipe('recipe.yaml').data.classes == {'yes': '1', 'glass': 'a'}
    refused = init('My trash', '--force', '--set', 'trainer.batch_size=8')
    assert refused.exit_code == 2
    assert '--set trainer.batch_size: init sets keys of data' in refused.stderr


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nowhere'], 'nowhere does not exist'),
        (['My trash/glass'], 'has no class folders'),
        (['My trash', '--weights', 'none.h5'], 'none.h5 does not exist'),
        (['My trash', '-o', 'nowhere/recipe.yaml'], 'nowhere does not exist'),
        (['damaged'], 'no image can be read, such as a/1.jpg: '),
        (['.'], 'is in the folder of the images, where the runs would be read as images; '),
        (['My trash', '-o', 'My trash/recipe.yaml'], 'My trash is in the folder of the images, '),
    ],
)
def test_unusable_arguments_write_nothing(init, trash, tmp_path, words, message):
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
    assert embedded.evaluation.baseline_accuracy == pytest.approx(0.58)

    file = tmp_path / 'mine.weights.h5'
    file.write_bytes(b'\x89HDF\r\n\x1a\n')
    assert init('My trash', '--weights', 'mine.weights.h5', '--force').exit_code == 0
    assert load_recipe('recipe.yaml').trainer.weights == str(file)


def test_many_images_are_sampled_from_all_classes(tmp_path, make_image_folder, monkeypatch):
    monkeypatch.setattr(survey_module, '_MOST_IMAGES', 600)
    folder = make_image_folder(tmp_path / 'pets', per_class=800, size=(16, 16))
    found = survey(DataConfig(source='folder', path=folder), 'classes')

    assert found.classes == {'cats': 800, 'dogs': 800}
    assert found.is_exact
    assert found.sample.read < 1000
    assert abs(found.sample.classes['cats'] - found.sample.classes['dogs']) <= 2
    assert sum(found.split(DataConfig().splits).values()) == pytest.approx(1600, abs=2)


def test_small_validation_folder_gives_half_of_it_to_the_test_split(init, make_image_folder):
    make_image_folder(Path('pets/train'), per_class=40)
    make_image_folder(Path('pets/validation'), per_class=20, seed=1)
    done = init('pets')

    splits = load_recipe('recipe.yaml').data.splits
    assert splits.test_share_of_validation == 0.5
    assert 'about 80 train, 20 eval, 20 test' in done.stdout


def test_own_test_images_are_the_test_split(init, make_image_folder):
    for seed, part in enumerate(('train', 'val', 'test')):
        make_image_folder(Path('pets', part), per_class=10 * (3 - seed), seed=seed)
    done = init('pets')

    assert 'about 60 train, 40 eval, 20 test' in done.stdout
    assert '; test, train, val with a folder per class in each' in done.stdout


def test_flat_folder_and_csv_give_recipes_of_their_layout(init, make_image_folder):
    pets = make_image_folder(Path('pets'), per_class=10)
    rows = [f'{file},{file.parent.name}' for file in sorted(pets.rglob('*.jpg'))]
    Path('pets.csv').write_text('\n'.join(['path,label', *rows]))
    Path('flat').mkdir()
    for number, file in enumerate(sorted(pets.rglob('*.jpg'))):
        Path('flat', f'{file.parent.name}.{number}.jpg').write_bytes(file.read_bytes())

    for place in ('flat', 'pets.csv'):
        done = init(place, '--force')
        assert done.exit_code == 0, done.output
        data = load_recipe('recipe.yaml').data
        assert data.classes == ('cats', 'dogs')
        assert data.source == ('csv' if place == 'pets.csv' else 'folder')
        assert bool(data.label_pattern) == (place == 'flat')


def test_spans_are_read_together(init, make_image_folder):
    for number in (1, 2, 3):
        make_image_folder(Path(f'pets/span-{number}'), per_class=10, seed=number)
    done = init('pets')

    assert '; spans 1 to 3' in done.stdout
    assert load_recipe('recipe.yaml').data.window == 3


def test_set_chooses_spans(init, make_image_folder):
    for number in (1, 2, 3):
        make_image_folder(Path(f'pets/span-{number}'), per_class=10, seed=number)
    done = init('pets', '--set', 'data.window=2')

    assert 'images: 40; ' in done.stdout
    assert load_recipe('recipe.yaml').data.window == 2


def test_secrets_of_a_url_are_not_written(tmp_path):
    assert name_of('https://me:password@host/My%20Pets.zip?key=1') == 'my_20pets'
    assert name_of('s3://bucket/pets/') == 'pets'
    assert name_of('../..') == 'photographs'


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['film{group}/{number}.jpg'], {'folder': 1}),
        (['walk{group}_frame{number}.jpg'], {'pattern': r'^(.+)[_.-]frame[_.-]?\d+'}),
        (['IMG_{group}{number}.jpg'], None),
        (['{number}/{group}.jpg'], None),  # folders of a few sources are no groups
        (['film{group}/{number}.jpg', 'other{group}{number}.jpg'], None),
    ],
    ids=str,
)
def test_groups_are_written_only_if_they_are_evident(names, expected):
    paths = [
        tuple(name.format(group=group, number=number).split('/'))
        for name in names
        for group in range(30)
        for number in range(5)
    ]
    found = evident_groups(paths)

    assert (found.model_dump(exclude_none=True) if found else None) == expected


def test_empty_survey_is_an_error(tmp_path):
    with pytest.raises(DataError, match='holds no images'):
        survey(DataConfig(source='folder', path=tmp_path), 'classes')

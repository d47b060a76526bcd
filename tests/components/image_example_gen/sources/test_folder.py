"""Layouts of folders: where their classes and parts are, what is left out, and what is noted."""

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base import source as sources
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, every_image
from components.image_example_gen.sources.detect import CLASS_AND_NUMBER, detect
from components.image_example_gen.sources.spans import make_source


@pytest.fixture
def make(make_files):
    """`make('cats/1.jpg', ...)` makes a folder of files, each with its name as contents."""
    return lambda *names: make_files({name: name for name in names})


def source_of(folder, **keys):
    return make_source(DataConfig(source='folder', path=folder, **keys))


def parts_of(source):
    return sorted({image.part for image in every_image(source)}, key=str)


def bad_images(source):
    return {each.filename: each for each in every_image(source) if isinstance(each, BadImage)}


def many(folder, number=3, suffix='jpg'):
    return [f'{folder}/{n}.{suffix}' for n in range(number)]


CLASSES = [*many('cats'), *many('dogs')]
IN_IMAGES = [f'images/{name}' for name in CLASSES]


@pytest.mark.parametrize(
    ('names', 'classes', 'note'),
    [
        ([*CLASSES, 'LICENSE', 'scripts/a.py'], 'cats dogs', ''),
        ([*CLASSES, '@eaDir/cats/1.jpg', '#recycle/1.jpg', '.b/1.jpg'], 'cats dogs', ''),
        ([*CLASSES, 'lost+found/1.jpg', '$RECYCLE.BIN/2.jpg', 'Thumbs.db'], 'cats dogs', ''),
        ([f'images/Images/{each}' for each in CLASSES], 'cats dogs', 'class in images/Images'),
        (
            [*(f'Dataset/{n}/{i}.jpg' for n in range(4) for i in range(60)), *many('Examples')],
            '0 1 2 3',
            'left out: Examples (3 images)',
        ),
        (
            [*(f'Dataset/{n}/{i}.jpg' for n in range(4) for i in range(9)), *many('Examples')],
            'Dataset Examples',
            'the classes are Dataset, Examples; if they are the folders in Dataset, ',
        ),
        ([*IN_IMAGES, 'labels/cats/1.txt', 'LICENSE'], 'cats dogs', 'images'),
        ([*IN_IMAGES, *many('masks/cats', 9, 'png')], 'cats dogs', 'left out'),
        ([f'{n}/film{i}/1.jpg' for n in ('cats', 'dogs') for i in (1, 2)], 'cats dogs', ''),
        ([f'{n}/{e}/1.jpg' for n in ('cats', 'dogs') for e in ('left', 'right')], 'cats dogs', ''),
        (['ship/1.jpg', 'train/1.jpg'], 'ship train', ''),
        (['10010105/1.jpg', '10010220/1.jpg'], '10010105 10010220', ''),
    ],
)  # fmt: skip
def test_finds_class_folders(make, names, classes, note):
    source = source_of(make(*names))

    assert source.classes == tuple(classes.split())
    assert note in '\n'.join(source.notes)
    assert bool(note) == bool(source.notes)


NESTED = [
    *many('train/Fruit/Apple/Royal-Gala'),
    *many('train/Fruit/Apple/Jonagold'),
    *many('train/Fruit/Banana'),
    *many('train/Packages/Milk'),
]


def test_classes_at_different_levels_are_the_folders_of_the_images(make):
    folder = make(*NESTED)

    source = source_of(folder)
    assert source.classes == ('Banana', 'Jonagold', 'Milk', 'Royal-Gala')
    assert any('not Fruit, Packages' in note for note in source.notes)
    assert 'different levels' in detect(str(folder)).layout
    make(*many('test/Fruit/Banana'), *many('test/Packages/Milk'))
    assert source_of(folder, classes=['Fruit', 'Packages']).classes == ('Fruit', 'Packages')
    assert source_of(folder, group_by={'folder': 1}).classes == ('Fruit', 'Packages')
    assert parts_of(source_of(folder)) == ['test', 'train_and_eval']


@pytest.mark.parametrize(
    ('parts', 'expected'),
    [
        ('train test', ['test', 'train_and_eval']),
        ('Training_Set dev TESTING', ['eval', 'test', 'train']),
        ('train2017 val2017', ['eval_and_test', 'train']),
        ('seg_train/seg_train seg_test/seg_test', ['test', 'train_and_eval']),
        ('a/train_images a/test_images', ['test', 'train_and_eval']),
    ],
)
def test_parts_are_folders_around_the_classes(make, parts, expected):
    names = [f'{part}/{name}' for part in parts.split() for name in CLASSES]
    source = source_of(make(*names, *many('pred/pred')))

    assert source.classes == ('cats', 'dogs')
    assert parts_of(source) == expected
    assert any('left out: pred' in note for note in source.notes)


CROPS = ('apple', 'corn', 'grape', 'tomato')


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'holds no images; expected a folder per class'),
        (['cat.0.jpg'], 'no class folders, .* set or correct data.label_pattern'),
        (CLASSES[:3], r'has 1 class \(cats\); expected two'),
        ([*many('train'), *many('test')], 'no class folders'),
        ([*many('test/cats'), *many('val/cats'), *many('test/dogs')], 'without train|1 class'),
        ([f'{n}/{p}/1.jpg' for n in CROPS for p in ('train', 'val')], 'train, val in each class'),
        ([f'{kind}/{name}/1.jpg' for kind in ('color', 'gray') for name in CROPS], 'same folders'),
    ],
)
def test_rejects_folders_whose_classes_are_not_clear(make, names, message):
    with pytest.raises(DataError, match=message):
        source_of(make(*names))


@pytest.mark.parametrize('test', [many('test'), many('test/unknown'), many('test1')])
def test_unlabelled_test_images_are_left_out(make, test):
    source = source_of(make(*(f'train/{name}' for name in CLASSES), *test))

    assert (source.classes, source.count) == (('cats', 'dogs'), 6)
    assert 'test: 3 images without labels are left out' in source.notes
    assert parts_of(source) == [None]


FLAT = [f'{name}.{number}.jpg' for name in ('cat', 'dog') for number in range(2)]


@pytest.mark.parametrize(
    'names',
    [
        FLAT,
        [f'images/{name}' for name in FLAT] + [f'annotations/trimaps/{n[:-3]}png' for n in FLAT],
        [f'train/{name}' for name in FLAT] + many('test1'),
        [f'{part}/{name}' for part in ('train', 'test') for name in FLAT],
    ],
)
def test_classes_in_file_names(make, names):
    folder = make(*names)
    found = detect(str(folder))
    source = source_of(folder, label_pattern=found.label_pattern)

    assert '2 classes (cat, dog)' in found.layout
    assert source.classes == ('cat', 'dog')
    assert not bad_images(source)


def test_names_that_are_no_classes(make):
    folder = make('IMG_1.jpg', 'IMG_2.jpg', 'DSC_1.jpg', 'DSC_2.jpg')
    assert detect(str(folder)).label_pattern is None

    folder = make(*FLAT)
    assert bad_images(source_of(folder, label_pattern=r'^(cat|dog)\.')).keys() == {
        *('IMG_1.jpg', 'IMG_2.jpg', 'DSC_1.jpg', 'DSC_2.jpg')
    }
    with pytest.raises(DataError, match=r'correct data\.label_pattern'):
        source_of(folder, label_pattern='^(x)')


@pytest.mark.parametrize('names', [FLAT, ['a/1.jpg', 'b/1.jpg']])
@pytest.mark.parametrize('spans', ['span-9 span-10', '2026-11-20 2026-11-21', '20261120 20261121'])
def test_layout_of_spans_is_that_of_the_newest(make, names, spans):
    found = detect(str(make(*(f'{span}/{name}' for span in spans.split() for name in names))))

    assert found.layout.startswith('spans with ')
    assert found.label_pattern == (CLASS_AND_NUMBER if names == FLAT else None)


@pytest.mark.parametrize('mask', ['{}.png', '{}_mask.png', '{}_mask_1.png'])
def test_masks_beside_images_are_a_note(make, mask):
    names = [f'{name}/{mask.format(n)}' for name in ('cats', 'dogs') for n in range(3)]

    (note,) = source_of(make(*CLASSES, *names)).notes
    assert '6 images, such as ' in note
    assert 'masks' in note


def test_groups_and_sources_are_folders_in_the_class(make):
    folder = make('cats/a/x/1.jpg', 'cats/2.jpg', 'dogs/b/3_1.jpg')

    def found(field, **group_by):
        source = source_of(folder, group_by=group_by or None)
        return {image.filename: getattr(image, field) for image in every_image(source)}

    assert found('source') == {'cats/2.jpg': 'pets', 'cats/a/x/1.jpg': 'a', 'dogs/b/3_1.jpg': 'b'}
    assert [*found('group', folder=1).values()] == [None, 'a', 'b']
    assert [*found('group', folder=2).values()] == [None, 'a/x', None]
    assert [*found('group', pattern=r'^(\d+)_').values()] == [None, None, '3']


def test_too_large_and_missing_files_are_bad(make):
    folder = make(*CLASSES)
    with (folder / 'cats' / 'huge.jpg').open('wb') as file:
        file.truncate(2**40)  # a sparse file
    (folder / 'cats' / 'lost.jpg').symlink_to('nowhere.jpg')

    source = source_of(folder)
    (folder / 'dogs' / '1.jpg').unlink()

    assert {name: each.reason for name, each in bad_images(source).items()} == {
        'cats/huge.jpg': 'too large',
        'cats/lost.jpg': 'unreadable',
        'dogs/1.jpg': 'unreadable',
    }


def test_shards_have_images_of_all_classes(make, monkeypatch):
    monkeypatch.setattr(sources, 'IMAGES_PER_SHARD', 4)

    shards = [[*shard.images()] for shard in source_of(make(*CLASSES)).shards()]
    assert [sorted(image.label for image in shard) for shard in shards] == [[0, 0, 1], [0, 1, 1]]


def test_links_to_files_and_folders(make, tmp_path):
    folder = make(*CLASSES)
    image = folder / 'cats' / '1.jpg'
    found = [source_of(folder).fingerprint]
    for change in (lambda: image.write_bytes(b'other'), lambda: image.chmod(0o600), image.touch):
        change()
        found.append(source_of(folder).fingerprint)
    (folder.parent / 'linked.jpg').hardlink_to(image)
    assert source_of(folder).fingerprint == found[-1]
    assert len({*found}) == 4

    (tmp_path / 'links').mkdir()
    for name in ('cats', 'dogs'):
        (tmp_path / 'links' / name).symlink_to(folder / name)
    (folder / 'cats' / 'back').symlink_to(folder)  # a cycle
    assert source_of(tmp_path / 'links').counts == {'cats': 3, 'dogs': 3}

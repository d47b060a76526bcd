"""Layouts of folders: where their classes and parts are, what is left out, and what is noted."""

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base import labelled_files
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, every_image
from components.image_example_gen.sources.detect import detect
from components.image_example_gen.sources.folder import CLASS_AND_NUMBER, FolderSource


@pytest.fixture
def make(tmp_path):
    """`make('cats/1.jpg', ...)` makes a folder of files, each with its name as contents."""

    def make_folder(*names):
        folder = tmp_path / 'pets'
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        return folder

    return make_folder


def source_of(folder, **keys):
    return FolderSource(DataConfig(source='folder', path=folder, **keys))


def classes_of(folder, **keys):
    """The classes, and the notes in one text."""
    source = source_of(folder, **keys)
    return source.classes, '\n'.join(source.notes)


def many(folder, number=3, suffix='jpg'):
    return [f'{folder}/{n}.{suffix}' for n in range(number)]


CLASSES = [*many('cats'), *many('dogs')]
IN_IMAGES = [f'images/{name}' for name in CLASSES]


@pytest.mark.parametrize(
    ('names', 'classes', 'note'),
    [
        (CLASSES, 'cats dogs', ''),
        ([*CLASSES, 'LICENSE', 'scripts/a.py'], 'cats dogs', 'no classes: scripts'),
        ([*CLASSES, '@eaDir/cats/1.jpg', '#recycle/1.jpg', '.b/1.jpg'], 'cats dogs', ''),
        ([*CLASSES, 'lost+found/1.jpg', '$RECYCLE.BIN/2.jpg', 'Thumbs.db'], 'cats dogs', ''),
        ([f'PetImages/{each}' for each in CLASSES], 'cats dogs', 'class in PetImages'),
        ([f'images/Images/{each}' for each in CLASSES], 'cats dogs', 'class in images/Images'),
        (
            [*(f'Dataset/{n}/{i}.jpg' for n in range(4) for i in range(60)), *many('Examples')],
            '0 1 2 3',
            'left out: Examples (3 images)',
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
    found, notes = classes_of(make(*names))

    assert found == tuple(classes.split())
    assert note in notes
    assert bool(note) == bool(notes)


NESTED = [
    *many('train/Fruit/Apple/Royal-Gala'),
    *many('train/Fruit/Apple/Jonagold'),
    *many('train/Fruit/Banana'),
    *many('train/Packages/Milk'),
]


def test_classes_at_different_levels_are_the_folders_of_the_images(make):
    folder = make(*NESTED)

    classes, notes = classes_of(folder)
    assert classes == ('Banana', 'Jonagold', 'Milk', 'Royal-Gala')
    assert 'not Fruit, Packages' in notes
    assert 'different levels' in detect(str(folder)).layout


def test_listed_classes_or_groups_choose_the_level(make):
    folder = make(*NESTED, *many('test/Fruit/Banana'), *many('test/Packages/Milk'))

    assert classes_of(folder, classes=['Fruit', 'Packages'])[0] == ('Fruit', 'Packages')
    assert classes_of(folder, group_by={'folder': 1})[0] == ('Fruit', 'Packages')
    source = source_of(folder)
    assert {image.part for image in every_image(source)} == {'train_and_eval', 'test'}
    assert any('test has no images of 2 of the classes' in note for note in source.notes)


@pytest.mark.parametrize(
    ('parts', 'expected'),
    [
        ('train test', ['test', 'train_and_eval']),
        ('train validation test', ['eval', 'test', 'train']),
        ('Training_Set dev TESTING', ['eval', 'test', 'train']),
        ('train2017 val2017', ['eval_and_test', 'train']),
    ],
)
def test_parts_are_folders_around_or_in_the_classes(make, parts, expected):
    around = make(*(f'a/{part}/{name}' for part in parts.split() for name in CLASSES)) / 'a'
    inside = make(*(f'b/{n[:4]}/{part}/{n[5:]}' for part in parts.split() for n in CLASSES)) / 'b'

    for folder in (around, inside):
        source = source_of(folder)
        assert source.classes == ('cats', 'dogs')
        assert sorted({image.part for image in every_image(source)}) == expected


@pytest.mark.parametrize(
    'parts',
    [
        'seg_train/seg_train seg_test/seg_test',  # each in a folder of its own name
        'training/training validation/validation',
        'a/train_images a/test_images',
    ],
)
def test_parts_of_public_sets(make, parts):
    names = [f'{part}/{name}' for part in parts.split() for name in CLASSES]
    source = source_of(make(*names, *many('pred/pred')))

    assert source.classes == ('cats', 'dogs')
    assert len({image.part for image in every_image(source)}) == 2


def test_same_class_folders_in_several_folders_are_an_error(make):
    classes = ('apple', 'corn', 'grape', 'tomato')
    folder = make(*(f'{kind}/{name}/1.jpg' for kind in ('color', 'gray') for name in classes))

    with pytest.raises(DataError, match='the same folders in color, gray: if they are the classes'):
        source_of(folder)
    assert source_of(folder, classes=classes).classes == classes
    assert source_of(folder, group_by={'folder': 1}).classes == ('color', 'gray')


@pytest.mark.parametrize('test', [many('test'), many('test/unknown'), many('test1')])
def test_unlabelled_test_images_are_left_out(make, test):
    source = source_of(make(*(f'train/{name}' for name in CLASSES), *test))

    assert (source.classes, source.count) == (('cats', 'dogs'), 6)
    assert 'test: 3 images without labels are left out' in source.notes
    assert {image.part for image in every_image(source)} == {None}


def test_folders_next_to_parts_are_left_out(make):
    parts = [f'{part}/{name}' for part in ('train', 'test') for name in CLASSES]
    source = source_of(make(*parts, *many('extra/cats'), 'train/stray.jpg'))

    assert any('left out: extra (3 images)' in note for note in source.notes)
    (bad,) = (each for each in every_image(source) if isinstance(each, BadImage))
    assert (bad.filename, bad.reason) == ('train/stray.jpg', 'label outside the list')


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'holds no images; expected a folder per class'),
        (['cat.0.jpg'], 'only images outside class folders'),
        (CLASSES[:3], r'has 1 class \(cats\); expected two'),
        ([*many('train'), *many('test')], 'is divided into test, train, which have no class'),
        ([*many('test/cats'), *many('val/cats'), *many('test/dogs')], 'without train|1 class'),
    ],
)
def test_rejects_folders_without_two_classes(make, names, message):
    with pytest.raises(DataError, match=message):
        source_of(make(*names))


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

    assert found.label_pattern == CLASS_AND_NUMBER
    assert '2 classes (cat, dog)' in found.layout
    assert source.classes == ('cat', 'dog')
    assert not any(isinstance(image, BadImage) for image in every_image(source))


@pytest.mark.parametrize('names', [FLAT, ['a/1.jpg', 'b/1.jpg']])
@pytest.mark.parametrize('spans', ['span-9 span-10', '2026-11-20 2026-11-21', '20261120 20261121'])
def test_layout_of_spans_is_that_of_the_newest(make, names, spans):
    found = detect(str(make(*(f'{span}/{name}' for span in spans.split() for name in names))))

    assert found.layout.startswith('spans with ')
    assert (found.label_pattern is None) == ('a/1.jpg' in names)


def test_names_of_cameras_are_no_classes(make):
    assert (
        detect(str(make('IMG_1.jpg', 'IMG_2.jpg', 'DSC_1.jpg', 'DSC_2.jpg'))).label_pattern is None
    )


def test_file_that_does_not_match_the_pattern_is_bad(make):
    folder = make(*FLAT, 'readme.jpg')
    (bad,) = (
        each
        for each in every_image(source_of(folder, label_pattern=r'^(cat|dog)\.'))
        if isinstance(each, BadImage)
    )
    assert (bad.filename, bad.reason) == ('readme.jpg', 'label outside the list')
    with pytest.raises(DataError, match=r'none with a name that data\.label_pattern'):
        source_of(folder, label_pattern='^(x)')


@pytest.mark.parametrize('mask', ['{}.png', '{}_mask.png', '{}_mask_1.png'])
def test_masks_beside_images_are_a_note(make, mask):
    names = [f'{name}/{mask.format(n)}' for name in ('cats', 'dogs') for n in range(3)]

    _, notes = classes_of(make(*CLASSES, *names))
    assert '6 images, such as ' in notes
    assert 'masks' in notes


def test_groups_and_sources_are_folders_in_the_class(make):
    folder = make('cats/a/x/1.jpg', 'cats/2.jpg', 'dogs/b/3_1.jpg')

    def found(field, **group_by):
        source = source_of(folder, group_by=group_by or None)
        return {image.filename: getattr(image, field) for image in every_image(source)}

    assert found('source') == {'cats/2.jpg': 'pets', 'cats/a/x/1.jpg': 'a', 'dogs/b/3_1.jpg': 'b'}
    assert [*found('group', folder=1).values()] == [None, 'a', 'b']
    assert [*found('group', folder=2).values()] == [None, 'a/x', None]
    assert [*found('group', pattern=r'^(\d+)_').values()] == [None, None, '3']


def test_sources_are_limited(make):
    folder = make(*(f'{name}/film{n}/1.jpg' for name in ('cats', 'dogs') for n in range(40)))

    sources = {image.source for image in every_image(source_of(folder))}
    assert len(sources) == 20
    assert 'others' in sources


@pytest.mark.parametrize('suffix', ['JPEG', 'Png', 'jfif', 'JPE', 'gif', 'webp', 'TIF', 'heic'])
def test_finds_formats_in_any_case(make, suffix):
    assert source_of(make(*CLASSES, f'cats/more.{suffix}')).count == 7


def test_too_large_and_missing_files_are_bad(make):
    folder = make(*CLASSES)
    with (folder / 'cats' / 'huge.jpg').open('wb') as file:
        file.truncate(2**40)  # a sparse file
    (folder / 'cats' / 'lost.jpg').symlink_to('nowhere.jpg')

    source = source_of(folder)
    (folder / 'dogs' / '1.jpg').unlink()

    bad = [each for each in every_image(source) if isinstance(each, BadImage)]
    assert {each.filename: each.reason for each in bad} == {
        'cats/huge.jpg': 'too large',
        'cats/lost.jpg': 'unreadable',
        'dogs/1.jpg': 'unreadable',
    }
    assert not any(each.contents for each in bad)


def test_shards_have_images_of_all_classes(make, monkeypatch):
    monkeypatch.setattr(labelled_files, 'IMAGES_PER_SHARD', 4)

    shards = [[*shard.images()] for shard in source_of(make(*CLASSES)).shards()]
    assert [sorted(image.label for image in shard) for shard in shards] == [[0, 0, 1], [0, 1, 1]]


def test_stamps_show_which_files_changed(make):
    folder = make(*CLASSES)
    image = folder / 'cats' / '1.jpg'
    first = source_of(folder)
    found = {first.fingerprint}
    for change in (lambda: image.write_bytes(b'other'), lambda: image.chmod(0o600), image.touch):
        change()
        source = source_of(folder)
        changed = {*source.stamps} - {*first.stamps}
        assert [file.name for file in changed] == ['cats/1.jpg']
        found.add(source.fingerprint)
    (folder.parent / 'linked.jpg').hardlink_to(image)

    assert source_of(folder).fingerprint in found
    assert len(found) == 4
    assert [*source.read([*changed])] == [b'other']


def test_follows_links_to_folders_without_cycles(make, tmp_path):
    folder = make(*CLASSES)
    (tmp_path / 'links').mkdir()
    for name in ('cats', 'dogs'):
        (tmp_path / 'links' / name).symlink_to(folder / name)
    (folder / 'cats' / 'back').symlink_to(folder)

    assert source_of(tmp_path / 'links').count == 6

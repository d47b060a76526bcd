import pickle
from pathlib import Path

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.folder import FolderSource

CLASSES = ('cats/1.jpg', 'dogs/1.jpg')
PARTS = tuple(f'{part}/{each}' for part in ('train', 'validation') for each in CLASSES)


@pytest.fixture
def make(tmp_path):
    """`make('cats/1.jpg')` makes a folder of files, each with its name as contents."""

    def make_folder(*names):
        folder = tmp_path / 'pets'
        folder.mkdir()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        return folder

    return make_folder


def bad_images(source):
    return [each for each in every_image(source) if isinstance(each, BadImage)]


@pytest.mark.parametrize(('listed', 'labels'), [(None, [0, 1]), (('dogs', 'cats'), [1, 0])])
def test_labels_follow_sorted_or_listed_classes(make, listed, labels):
    source = FolderSource(make(*CLASSES), listed)

    assert source.classes == (listed or ('cats', 'dogs'))
    assert list(every_image(source)) == [
        LabelledImage(name.encode(), label, name, source='pets')
        for name, label in zip(CLASSES, labels, strict=True)
    ]


@pytest.mark.parametrize(
    'name', ['a.JPEG', 'more/a.Png', 'a.jfif', 'a.JPE', 'a.gif', 'a.webp', 'a.TIF', 'a.heic']
)
def test_finds_image_formats_in_any_case_and_depth(make, name):
    found = {image.filename for image in every_image(FolderSource(make(*CLASSES, f'cats/{name}')))}

    assert found == {*CLASSES, f'cats/{name}'}


def test_counts_ignored_files_without_those_of_desktops(make):
    litter = ['cats/.DS_Store', 'Thumbs.db', 'desktop.ini', '._a.jpg', '.b/a.jpg', '__MACOSX/a.jpg']

    source = FolderSource(make(*CLASSES, *litter, 'cats/notes.txt', 'LICENSE'))

    assert (source.classes, source.count, source.ignored) == (('cats', 'dogs'), 2, 2)


@pytest.mark.parametrize(
    ('files', 'classes', 'message'),
    [
        ((), None, 'holds no images; expected a folder per class, or train'),
        (('cat.0.jpg',), None, 'holds only images outside class folders; expected a folder per'),
        (('cats/a.jpg',), None, r'has 1 class \(cats\); expected two or more: a folder per class'),
        (
            (*CLASSES, 'foxes/notes.txt'),
            None,
            r"^class 'foxes' has no images in data folder .* of 2 classes \(cats, dogs\); add",
        ),
        (CLASSES, ('cat', 'dogs'), r"^class 'cat' has no images .* remove it from data\."),
        (
            ('train/cats/1.jpg', 'train/dogs/1.jpg', 'validation/cats/1.jpg'),
            None,
            'is divided, and has no images of dogs in validation; add',
        ),
        (
            (*PARTS, 'validation/lost.jpg'),
            None,
            r'^validation/lost\.jpg in .* is not in a class folder; expected validation/CLASS/',
        ),
    ],
)
def test_rejects_folder_without_two_complete_classes(make, files, classes, message):
    with pytest.raises(DataError, match=message):
        FolderSource(make(*files), classes)


@pytest.mark.parametrize(
    ('name', 'problem'), [('nowhere', 'does not exist'), ('a.jpg', 'is a file of unknown type')]
)
def test_rejects_paths_that_are_not_folders(make, name, problem):
    with pytest.raises(DataError, match=f'{name} {problem}; expected a folder'):
        FolderSource(make('a.jpg') / name)


def test_images_outside_the_classes_are_bad_and_not_read(make):
    source = FolderSource(make(*CLASSES, 'wolves/1.jpg', 'stray.png'), ('cats', 'dogs'))

    bad = bad_images(source)

    assert {each.filename: each.reason for each in bad} == {
        'stray.png': 'label outside the list',
        'wolves/1.jpg': 'unknown class',
    }
    assert not any(each.contents for each in bad)


def test_too_large_and_missing_files_are_bad(make):
    folder = make(*CLASSES)
    with (folder / 'cats' / 'huge.jpg').open('wb') as file:
        file.truncate(2**40)  # a sparse file
    (folder / 'cats' / 'lost.jpg').symlink_to('nowhere.jpg')

    source = FolderSource(folder)
    (folder / 'dogs' / '1.jpg').unlink()

    assert source.count == 4
    assert {each.filename: (each.reason, each.detail) for each in bad_images(source)} == {
        'cats/huge.jpg': ('too large', 'it has 1,099,511.6 MB; the limit is 100 MB'),
        'cats/lost.jpg': ('unreadable', 'it cannot be read: No such file or directory'),
        'dogs/1.jpg': ('unreadable', 'it cannot be read: No such file or directory'),
    }


def test_pickled_shards_have_images_of_all_classes(make, monkeypatch):
    monkeypatch.setattr(
        'components.image_example_gen.sources.base.labelled_files.IMAGES_PER_SHARD', 4
    )
    source = FolderSource(make(*(f'{name}/{n}.jpg' for name in ('cats', 'dogs') for n in range(3))))

    shards = [list(shard.images()) for shard in pickle.loads(pickle.dumps(source.shards()))]

    assert [sorted(image.label for image in shard) for shard in shards] == [[0, 0, 1], [0, 1, 1]]
    assert len({image.filename for shard in shards for image in shard}) == source.count == 6


def test_fingerprint_changes_with_names_contents_and_permissions(make):
    folder = make(*CLASSES)
    image = folder / 'cats' / '1.jpg'

    fingerprints = [FolderSource(folder).fingerprint]
    for change in (
        lambda: image.with_name('2.jpg').write_bytes(b''),
        lambda: image.write_bytes(b'changed'),
        lambda: image.chmod(0),
        lambda: image.rename(folder / 'dogs' / '3.jpg'),
    ):
        change()
        fingerprints.append(FolderSource(folder).fingerprint)
    (folder.parent / 'linked.jpg').hardlink_to(folder / 'dogs' / '3.jpg')

    assert len(set(fingerprints)) == 5
    assert FolderSource(folder).fingerprint == fingerprints[-1]


def test_follows_links_to_folders_without_cycles(make, tmp_path):
    folder = make(*CLASSES)
    (tmp_path / 'links').mkdir()
    (tmp_path / 'links' / 'cats').symlink_to(folder / 'cats')
    (tmp_path / 'links' / 'dogs').symlink_to(folder / 'dogs')
    (folder / 'cats' / 'back').symlink_to(folder)

    assert FolderSource(tmp_path / 'links').count == 2


def test_images_of_train_and_validation_have_a_part(make):
    source = FolderSource(make(*PARTS, 'vectorize.py'))

    assert (source.classes, source.count) == (('cats', 'dogs'), 4)
    for image in every_image(source):
        part, class_name, _ = Path(image.filename).parts
        expected = {'train': 'train', 'validation': 'eval_and_test'}[part]
        assert (image.part, source.classes[image.label]) == (expected, class_name)


@pytest.mark.parametrize(
    ('names', 'parts'),
    [
        (('train', 'test'), ('train_and_eval', 'test')),
        (('train', 'validation', 'test'), ('train', 'eval', 'test')),
        (('Training_Set', 'dev', 'TESTING'), ('train', 'eval', 'test')),
        (('train', 'val'), ('train', 'eval_and_test')),
        (('Train', 'valid'), ('train', 'eval_and_test')),
    ],
)
def test_parts_are_recognised_by_their_usual_names(make, names, parts):
    source = FolderSource(make(*(f'{name}/{each}' for name in names for each in CLASSES)))

    assert source.classes == ('cats', 'dogs')
    found = {image.filename.split('/')[0]: image.part for image in every_image(source)}
    assert found == dict(zip(names, parts, strict=True))


def test_empty_part_is_ignored(make):
    folder = make(*(f'{part}/{each}' for part in ('train', 'test') for each in CLASSES))
    (folder / 'validation' / 'cats').mkdir(parents=True)

    assert {each.part for each in every_image(FolderSource(folder))} == {'train_and_eval', 'test'}


def test_class_may_have_the_name_of_a_part(make):
    source = FolderSource(make('ship/1.jpg', 'train/steam/1.jpg'))

    assert source.classes == ('ship', 'train')
    assert {image.part for image in every_image(source)} == {None}


@pytest.mark.parametrize(
    'folders',
    [
        ('train/cats', 'train/dogs'),
        ('test/cats', 'validation/cats'),
        ('samples', 'train/cats', 'validation/cats'),
        ('test/cats', 'train/cats', 'unlabelled/cats', 'validation/cats'),
        ('Train/cats', 'samples', 'val/cats'),
    ],
)
def test_rejects_other_parts_and_folders_next_to_parts(make, folders):
    listed = ', '.join(dict.fromkeys(each.split('/')[0] for each in folders))

    with pytest.raises(DataError, match=f'is divided into {listed}; expected only train, and '):
        FolderSource(make(*(f'{each}/1.jpg' for each in folders)))


def test_rejects_two_names_of_one_part(make):
    with pytest.raises(DataError, match='into Train, test, train, where Train and train are the s'):
        FolderSource(make(*(f'{each}/cats/1.jpg' for each in ('Train', 'train', 'test'))))


def test_rejects_parts_without_class_folders(make):
    names = ['cat.1', 'cat.2', 'dog.1', 'dog.2']
    folder = make(*(f'{part}/{name}.jpg' for part in ('train', 'test') for name in names))

    message = r'into test, train, which have no class folders; .*: set data\.label_pattern: '
    with pytest.raises(DataError, match=message):
        FolderSource(folder)

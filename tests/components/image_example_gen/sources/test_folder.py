import pickle
from pathlib import Path

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import BadImage, every_image
from components.image_example_gen.sources.folder.source import FolderSource


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def bad_images(source):
    return [each for each in every_image(source) if isinstance(each, BadImage)]


@pytest.fixture
def folder(tmp_path, make_image_folder):
    return make_image_folder(tmp_path / 'pets', per_class=3)


def test_classes_are_sorted_folder_names(folder):
    source = FolderSource(folder)

    assert source.classes == ('cats', 'dogs')
    assert source.count == 6


def test_yields_each_image_once_with_bytes_label_and_path(folder):
    images = list(every_image(FolderSource(folder)))

    assert [(image.label, image.part) for image in images] == [(0, None)] * 3 + [(1, None)] * 3
    assert images[0].filename == str(Path('cats', 'cats-0-0.jpg'))
    for image in images:
        assert image.contents == (folder / image.filename).read_bytes()


def test_finds_suffixes_in_any_case_and_depth(folder):
    (folder / 'cats' / 'more').mkdir()
    (folder / 'cats' / 'cats-0-0.jpg').rename(folder / 'cats' / 'more' / 'A.JPEG')
    (folder / 'cats' / 'cats-0-1.jpg').rename(folder / 'cats' / 'B.Png')

    names = [image.filename for image in every_image(FolderSource(folder))]

    assert {'cats/more/A.JPEG', 'cats/B.Png'} <= set(names)
    assert len(names) == 6


@pytest.mark.parametrize('name', ['.hidden', '__MACOSX'])
def test_ignores_folders_of_desktops(folder, name):
    (folder / name).mkdir()
    (folder / name / 'a.jpg').write_bytes(b'')

    assert FolderSource(folder).classes == ('cats', 'dogs')


def test_empty_class_folder_is_an_error(folder):
    (folder / 'foxes').mkdir()
    (folder / 'foxes' / 'notes.txt').touch()

    message = r"^class 'foxes' has no images in data folder .* of 2 classes \(cats, dogs\); add"
    with pytest.raises(DataError, match=message):
        FolderSource(folder)


def test_listed_class_without_images_is_an_error(folder):
    with pytest.raises(DataError, match=r"^class 'cat' has no images .* remove it from data\."):
        FolderSource(folder, ('cat', 'dogs'))


def test_labels_follow_listed_classes(folder):
    source = FolderSource(folder, ('dogs', 'cats'))

    assert source.classes == ('dogs', 'cats')
    assert {(image.label, image.filename[:4]) for image in every_image(source)} == {
        (0, 'dogs'),
        (1, 'cats'),
    }


def test_images_of_unlisted_classes_are_bad_and_not_read(folder, make_image_folder):
    make_image_folder(folder, 1, classes=('wolves',))
    (folder / 'stray.png').touch()

    bad = bad_images(FolderSource(folder, ('cats', 'dogs')))

    assert {each.filename for each in bad} == {'stray.png', str(Path('wolves', 'wolves-0-0.jpg'))}
    assert {(each.reason, each.contents) for each in bad} == {('label outside the list', b'')}


def test_counts_ignored_files_without_those_of_desktops(folder):
    for name in ('notes.txt', 'LICENSE', '.DS_Store', 'Thumbs.db', 'desktop.ini', '._a.jpg'):
        (folder / 'cats' / name).touch()

    source = FolderSource(folder)

    assert (source.count, source.ignored) == (6, 2)


@pytest.mark.parametrize('suffix', ['jfif', 'JPE', 'gif', 'webp', 'bmp', 'TIF', 'heic', 'avif'])
def test_finds_all_image_formats(folder, suffix):
    (folder / 'cats' / f'a.{suffix}').touch()

    assert FolderSource(folder).count == 7


def test_each_shard_has_images_of_all_classes(folder, monkeypatch):
    monkeypatch.setattr('components.image_example_gen.sources.folder.source.IMAGES_PER_SHARD', 4)
    source = FolderSource(folder)

    shards = [list(shard.images()) for shard in source.shards()]

    assert [sorted(image.label for image in shard) for shard in shards] == [[0, 0, 1], [0, 1, 1]]
    assert len({image.filename for shard in shards for image in shard}) == source.count == 6


def test_shard_can_be_pickled(folder):
    (shard,) = FolderSource(folder).shards()

    assert list(pickle.loads(pickle.dumps(shard)).images()) == list(shard.images())


def test_too_large_file_is_bad_and_not_read(folder):
    with (folder / 'cats' / 'huge.jpg').open('wb') as file:
        file.truncate(2**40)  # a sparse file

    (huge,) = bad_images(FolderSource(folder))

    assert (huge.reason, huge.contents) == ('too large', b'')
    assert huge.detail == 'it has 1,099,511.6 MB; the limit is 100 MB'


def test_broken_link_is_a_bad_image(folder):
    (folder / 'cats' / 'lost.jpg').symlink_to('nowhere.jpg')

    source = FolderSource(folder)

    (bad,) = bad_images(source)
    assert source.count == 7
    assert bad.detail == 'it cannot be read: No such file or directory'


def test_fingerprint_changes_when_an_image_is_added_changed_or_moved(folder):
    image = folder / 'cats' / 'cats-0-0.jpg'
    fingerprints = [FolderSource(folder).fingerprint for _ in range(2)]
    (folder / 'cats' / 'new.jpg').write_bytes(b'')
    fingerprints.append(FolderSource(folder).fingerprint)
    image.write_bytes(image.read_bytes() + b'more')
    fingerprints.append(FolderSource(folder).fingerprint)
    image.rename(folder / 'dogs' / 'cats-0-0.jpg')
    fingerprints.append(FolderSource(folder).fingerprint)

    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 4


@pytest.mark.parametrize(
    ('files', 'name', 'message'),
    [
        ((), 'nowhere', '^data folder .*nowhere does not exist; give'),
        (('a.jpg',), 'a.jpg', r'a\.jpg is a file of unknown type; expected a folder'),
        ((), '', 'holds no images; expected a folder per class, or train'),
        (('cat.0.jpg',), '', 'holds only images outside class folders; expected a folder per'),
        (('cats/a.jpg',), '', r'has 1 class \(cats\); expected two or more: a folder per class'),
    ],
)
def test_folder_without_two_classes_is_an_error(tmp_path, files, name, message):
    touch(tmp_path, *files)

    with pytest.raises(DataError, match=message):
        FolderSource(tmp_path / name)


def test_removed_image_is_bad_and_others_are_read(folder):
    source = FolderSource(folder)
    (folder / 'dogs' / 'dogs-0-1.jpg').unlink()

    assert len(list(every_image(source))) == 6
    (bad,) = bad_images(source)
    assert (bad.filename, bad.reason) == (str(Path('dogs', 'dogs-0-1.jpg')), 'unreadable')


@pytest.fixture
def parts(tmp_path, make_image_folder):
    make_image_folder(tmp_path / 'filtered' / 'train', per_class=3)
    make_image_folder(tmp_path / 'filtered' / 'validation', per_class=2, seed=1)
    return tmp_path / 'filtered'


def test_images_of_train_and_validation_have_a_part(parts):
    source = FolderSource(parts)

    assert source.classes == ('cats', 'dogs')
    assert source.count == 10
    for image in every_image(source):
        part, class_name, _ = Path(image.filename).parts
        assert (image.part, source.classes[image.label]) == (part, class_name)


def test_ignores_files_next_to_train_and_validation(parts):
    (parts / 'vectorize.py').write_text('')

    assert FolderSource(parts).count == 10


def test_classes_may_be_named_train_and_validation(tmp_path, make_image_folder):
    make_image_folder(tmp_path, 1, classes=('train', 'validation'))

    source = FolderSource(tmp_path)

    assert source.classes == ('train', 'validation')
    assert {image.part for image in every_image(source)} == {None}


def test_image_of_a_part_without_class_folder_is_an_error(parts):
    (parts / 'validation' / 'cats' / 'cats-1-0.jpg').rename(parts / 'validation' / 'lost.jpg')

    message = r'^validation/lost\.jpg in .* is not in a class folder; expected train/CLASS/'
    with pytest.raises(DataError, match=message):
        FolderSource(parts)


def test_parts_with_different_classes_are_an_error(parts):
    (parts / 'validation' / 'dogs').rename(parts / 'validation' / 'wolves')

    message = r'has 2 classes \(cats, dogs\) in train and 2 classes \(cats, wolves\) in validation'
    with pytest.raises(DataError, match=message):
        FolderSource(parts)


@pytest.mark.parametrize(
    ('names', 'listed'),
    [
        (('train', 'validation', 'test'), 'test, train, validation'),
        (('training_set', 'test_set'), 'test_set, training_set'),
        (('train', 'val'), 'train, val'),
        (('train',), 'train'),
    ],
)
def test_other_parts_are_an_error_and_not_classes(tmp_path, make_image_folder, names, listed):
    for name in names:
        make_image_folder(tmp_path / name, per_class=1)

    with pytest.raises(DataError, match=f'is divided into {listed}; expected train and valid'):
        FolderSource(tmp_path)


@pytest.mark.parametrize(
    ('parts', 'other'),
    [
        (['train', 'validation'], 'samples/1.jpg'),
        (['train', 'validation', 'test'], 'unlabelled/cats/1.jpg'),
        (['Train', 'val'], 'samples/1.jpg'),
    ],
)
def test_other_folders_next_to_parts_are_an_error(tmp_path, parts, other):
    images = [f'{part}/{name}/1.jpg' for part in parts for name in ('cats', 'dogs')]
    touch(tmp_path, *images, other)

    folder = other.partition('/')[0]
    listed = ', '.join(sorted(parts))
    message = f'is divided into {listed}, but {folder} also contains images; move {folder} elsewh'
    with pytest.raises(DataError, match=message):
        FolderSource(tmp_path)


def test_class_may_be_named_train(tmp_path):
    touch(tmp_path, 'train/steam/1.jpg', 'ship/1.jpg')

    assert FolderSource(tmp_path).classes == ('ship', 'train')


def test_fingerprint_depends_on_permissions_but_not_on_hard_links(folder):
    image = folder / 'cats' / 'cats-0-0.jpg'
    before = FolderSource(folder).fingerprint
    (folder.parent / 'linked.jpg').hardlink_to(image)
    linked = FolderSource(folder).fingerprint
    image.chmod(0)
    locked = FolderSource(folder).fingerprint

    assert linked == before != locked


def test_follows_links_to_folders_without_cycles(tmp_path, folder):
    (tmp_path / 'links').mkdir()
    (tmp_path / 'links' / 'cats').symlink_to(folder / 'cats')
    (tmp_path / 'links' / 'dogs').symlink_to(folder / 'dogs')
    (folder / 'cats' / 'back').symlink_to(folder)

    assert FolderSource(tmp_path / 'links').count == 6

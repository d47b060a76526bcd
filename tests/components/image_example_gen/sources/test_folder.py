import pickle
import re
from pathlib import Path

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.folder import FolderSource


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def folder(tmp_path, make_image_folder):
    return make_image_folder(tmp_path / 'pets', per_class=3)


def test_classes_are_the_sorted_names_of_the_folders(folder):
    source = FolderSource(folder)

    assert source.classes == ('cats', 'dogs')
    assert source.count == 6


def test_every_image_comes_once_with_its_bytes_its_label_and_its_place(folder):
    images = list(every_image(FolderSource(folder)))

    assert [image.label for image in images] == [0, 0, 0, 1, 1, 1]
    assert images[0].filename == str(Path('cats', 'cats-0-0.jpg'))
    for image in images:
        assert image.contents == (folder / image.filename).read_bytes()


def test_images_come_in_the_same_order_every_time(folder):
    assert list(every_image(FolderSource(folder))) == list(every_image(FolderSource(folder)))


def test_suffixes_are_read_in_either_case_and_in_folders_below(folder):
    (folder / 'cats' / 'more').mkdir()
    (folder / 'cats' / 'cats-0-0.jpg').rename(folder / 'cats' / 'more' / 'A.JPEG')
    (folder / 'cats' / 'cats-0-1.jpg').rename(folder / 'cats' / 'B.Png')

    names = [image.filename for image in every_image(FolderSource(folder))]

    assert {'cats/more/A.JPEG', 'cats/B.Png'} <= set(names)
    assert len(names) == 6


@pytest.mark.parametrize('name', ['Thumbs.db', 'notes.txt', '._cats-0-0.jpg', '.DS_Store'])
def test_files_that_are_no_images_are_left_out(folder, name):
    (folder / 'cats' / name).write_bytes(b'not an image')

    assert FolderSource(folder).count == 6


@pytest.mark.parametrize('name', ['.hidden', '__MACOSX'])
def test_folders_that_desktops_leave_are_no_classes(folder, name):
    (folder / name).mkdir()
    (folder / name / 'a.jpg').write_bytes(b'')

    assert FolderSource(folder).classes == ('cats', 'dogs')


def test_a_class_folder_without_images_is_named(folder):
    (folder / 'foxes').mkdir()
    (folder / 'foxes' / 'notes.txt').touch()

    sentence = (
        r"^class 'foxes' has no images in data folder .* of 2 classes \(cats, dogs\); add some"
    )
    with pytest.raises(DataError, match=sentence):
        FolderSource(folder)


def test_a_class_of_the_list_without_images_is_named(folder):
    with pytest.raises(DataError, match=r"^class 'cat' has no images .* take it off data\.classes"):
        FolderSource(folder, ('cat', 'dogs'))


def test_a_list_of_classes_gives_the_order_of_the_labels(folder):
    source = FolderSource(folder, ('dogs', 'cats'))

    assert source.classes == ('dogs', 'cats')
    assert {(image.label, image.filename[:4]) for image in every_image(source)} == {
        (0, 'dogs'),
        (1, 'cats'),
    }


def test_images_of_a_class_outside_the_list_are_bad_and_not_read(folder, make_image_folder):
    make_image_folder(folder, 1, classes=('wolves',))
    (folder / 'stray.png').touch()

    bad = [
        each
        for each in every_image(FolderSource(folder, ('cats', 'dogs')))
        if type(each) is BadImage
    ]

    assert {each.filename for each in bad} == {'stray.png', str(Path('wolves', 'wolves-0-0.jpg'))}
    assert {(each.reason, each.contents) for each in bad} == {('label outside the list', b'')}


def test_what_is_left_out_is_counted_without_what_desktops_leave(folder):
    for name in ('notes.txt', 'LICENSE', '.DS_Store', 'Thumbs.db', 'desktop.ini', '._a.jpg'):
        (folder / 'cats' / name).touch()

    assert FolderSource(folder).ignored == 2


@pytest.mark.parametrize('suffix', ['jfif', 'JPE', 'gif', 'webp', 'bmp', 'TIF', 'heic', 'avif'])
def test_every_usual_format_is_found(folder, suffix):
    (folder / 'cats' / f'a.{suffix}').touch()

    assert FolderSource(folder).count == 7


def test_every_part_of_a_folder_holds_all_classes_and_each_image_is_in_one(folder, monkeypatch):
    monkeypatch.setattr('components.image_example_gen.sources.base.members.IMAGES_PER_SHARD', 4)
    source = FolderSource(folder)

    shards = [list(shard.images()) for shard in source.shards()]

    assert [sorted(image.label for image in shard) for shard in shards] == [[0, 0, 1], [0, 1, 1]]
    assert len({image.filename for shard in shards for image in shard}) == source.count == 6


def test_a_part_of_a_folder_can_be_sent_to_another_process(folder):
    (shard,) = FolderSource(folder).shards()

    assert list(pickle.loads(pickle.dumps(shard)).images()) == list(shard.images())


def test_a_file_that_is_too_large_is_bad_and_not_read(folder):
    with (folder / 'cats' / 'huge.jpg').open('wb') as file:
        file.truncate(2**40)  # a hole: it takes no room

    bad = [each for each in every_image(FolderSource(folder)) if isinstance(each, BadImage)]

    (huge,) = bad
    assert (huge.reason, huge.contents) == ('too large', b'')
    assert huge.detail == 'it has 1,099,511.6 MB; the limit is 100 MB'


def test_a_link_to_nothing_is_a_bad_image(folder):
    (folder / 'cats' / 'lost.jpg').symlink_to('nowhere.jpg')

    source = FolderSource(folder)

    bad = [each for each in every_image(source) if isinstance(each, BadImage)]
    assert (source.count, len(bad)) == (7, 1)
    assert bad[0].detail == 'it cannot be read: No such file or directory'


def test_the_fingerprint_stays_while_the_images_stay(folder):
    assert FolderSource(folder).fingerprint == FolderSource(folder).fingerprint


def test_the_fingerprint_changes_with_an_image_added_changed_or_moved(folder):
    image = folder / 'cats' / 'cats-0-0.jpg'
    fingerprints = [FolderSource(folder).fingerprint]
    (folder / 'cats' / 'new.jpg').write_bytes(b'')
    fingerprints.append(FolderSource(folder).fingerprint)
    image.write_bytes(image.read_bytes() + b'more')
    fingerprints.append(FolderSource(folder).fingerprint)
    image.rename(folder / 'dogs' / 'cats-0-0.jpg')
    fingerprints.append(FolderSource(folder).fingerprint)

    assert len(set(fingerprints)) == 4


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / 'nowhere'

    with pytest.raises(
        DataError, match=f'^data folder {re.escape(str(path))} does not exist; give'
    ):
        FolderSource(path)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'')

    with pytest.raises(DataError, match=r'a\.jpg is a file of no known kind; expected a folder'):
        FolderSource(tmp_path / 'a.jpg')


def test_an_empty_folder_is_told_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r'holds no images; expected a folder per class, or train'):
        FolderSource(tmp_path)


def test_images_that_lie_in_no_class_folder_are_told(tmp_path):
    (tmp_path / 'cat.0.jpg').touch()

    with pytest.raises(DataError, match='holds images in no class folder; expected a folder per'):
        FolderSource(tmp_path)


def test_one_class_is_not_enough(tmp_path, make_image_folder):
    make_image_folder(tmp_path, 1, classes=('cats',))

    with pytest.raises(
        DataError, match=r'has 1 class \(cats\); expected two or more: a folder per'
    ):
        FolderSource(tmp_path)


def test_there_may_be_many_classes(tmp_path, make_image_folder):
    names = tuple('abcdefgh')
    source = FolderSource(make_image_folder(tmp_path, 1, classes=names))

    assert source.classes == names
    assert [image.label for image in every_image(source)] == list(range(8))


def test_an_image_that_vanishes_is_a_bad_one_and_the_others_come(folder):
    source = FolderSource(folder)
    (folder / 'dogs' / 'dogs-0-1.jpg').unlink()

    images = list(every_image(source))

    assert sum(isinstance(image, LabelledImage) for image in images) == 5
    (bad,) = (image for image in images if isinstance(image, BadImage))
    assert (bad.filename, bad.reason) == (str(Path('dogs', 'dogs-0-1.jpg')), 'unreadable')


@pytest.fixture
def parts(tmp_path, make_image_folder):
    make_image_folder(tmp_path / 'filtered' / 'train', per_class=3)
    make_image_folder(tmp_path / 'filtered' / 'validation', per_class=2, seed=1)
    return tmp_path / 'filtered'


def test_images_in_train_and_validation_say_which_they_come_from(parts):
    source = FolderSource(parts)

    assert source.classes == ('cats', 'dogs')
    assert source.count == 10
    for image in every_image(source):
        part, class_name, _ = Path(image.filename).parts
        assert (image.part, source.classes[image.label]) == (part, class_name)


def test_images_in_class_folders_are_of_no_part(folder):
    assert {image.part for image in every_image(FolderSource(folder))} == {None}


def test_files_beside_train_and_validation_change_nothing(parts):
    (parts / 'vectorize.py').write_text('')

    assert FolderSource(parts).count == 10


def test_classes_may_be_called_train_and_validation(tmp_path, make_image_folder):
    make_image_folder(tmp_path, 1, classes=('train', 'validation'))

    source = FolderSource(tmp_path)

    assert source.classes == ('train', 'validation')
    assert {image.part for image in every_image(source)} == {None}


def test_an_image_beside_the_class_folders_of_a_part_is_named(parts):
    (parts / 'validation' / 'cats' / 'cats-1-0.jpg').rename(parts / 'validation' / 'lost.jpg')

    with pytest.raises(
        DataError, match=r'^validation/lost\.jpg in .* is in no class folder; expected train/CLASS/'
    ):
        FolderSource(parts)


def test_parts_with_other_classes_are_refused(parts):
    (parts / 'validation' / 'dogs').rename(parts / 'validation' / 'wolves')

    sentence = r'has 2 classes \(cats, dogs\) in train and 2 classes \(cats, wolves\) in validation'
    with pytest.raises(DataError, match=sentence):
        FolderSource(parts)


@pytest.mark.parametrize(
    ('names', 'told'),
    [
        (('train', 'validation', 'test'), 'test, train, validation'),
        (('training_set', 'test_set'), 'test_set, training_set'),
        (('train', 'val'), 'train, val'),
        (('train',), 'train'),
    ],
)
def test_other_parts_than_train_and_validation_are_told_and_not_learnt(
    tmp_path, make_image_folder, names, told
):
    for name in names:
        make_image_folder(tmp_path / name, per_class=1)

    with pytest.raises(DataError, match=f'is divided into {told}; expected train and validation,'):
        FolderSource(tmp_path)


@pytest.mark.parametrize(
    ('parts', 'other'),
    [
        (['train', 'validation'], 'samples/1.jpg'),
        (['train', 'validation', 'test'], 'unlabelled/cats/1.jpg'),
        (['Train', 'val'], 'samples/1.jpg'),
    ],
)
def test_images_beside_the_parts_are_no_class_and_make_none_of_the_parts(tmp_path, parts, other):
    images = [f'{part}/{name}/1.jpg' for part in parts for name in ('cats', 'dogs')]
    touch(tmp_path, *images, other)

    folder = other.partition('/')[0]
    sentence = (
        f'is divided into {", ".join(sorted(parts))} and holds images in {folder} beside them; '
        f'move {folder} elsewhere: expected train and validation alone$'
    )
    with pytest.raises(DataError, match=sentence):
        FolderSource(tmp_path)


def test_a_class_may_have_the_name_of_a_part(tmp_path):
    touch(tmp_path, 'train/steam/1.jpg', 'ship/1.jpg')

    assert FolderSource(tmp_path).classes == ('ship', 'train')


def test_an_image_that_may_be_read_again_is_a_change_and_a_hard_link_is_none(folder):
    image = folder / 'cats' / 'cats-0-0.jpg'
    before = FolderSource(folder).fingerprint
    (folder.parent / 'linked.jpg').hardlink_to(image)
    linked = FolderSource(folder).fingerprint
    image.chmod(0)
    locked = FolderSource(folder).fingerprint

    assert linked == before != locked


def test_links_to_folders_are_followed_and_end(tmp_path, folder):
    (tmp_path / 'links').mkdir()
    (tmp_path / 'links' / 'cats').symlink_to(folder / 'cats')
    (tmp_path / 'links' / 'dogs').symlink_to(folder / 'dogs')
    (folder / 'cats' / 'back').symlink_to(folder)

    assert FolderSource(tmp_path / 'links').count == 6

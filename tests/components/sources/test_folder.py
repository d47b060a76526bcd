import re
from pathlib import Path

import pytest

from components.sources.base import DataError
from components.sources.folder import FolderSource


@pytest.fixture
def folder(tmp_path, make_image_folder):
    return make_image_folder(tmp_path / 'pets', per_class=3)


def test_classes_are_the_sorted_names_of_the_folders(folder):
    source = FolderSource(folder)

    assert source.classes == ('cats', 'dogs')
    assert source.count == 6


def test_every_image_comes_once_with_its_bytes_its_label_and_its_place(folder):
    images = list(FolderSource(folder).images())

    assert [image.label for image in images] == [0, 0, 0, 1, 1, 1]
    assert images[0].filename == str(Path('cats', 'cats-0-0.jpg'))
    for image in images:
        assert image.contents == (folder / image.filename).read_bytes()


def test_images_come_in_the_same_order_every_time(folder):
    assert list(FolderSource(folder).images()) == list(FolderSource(folder).images())


def test_suffixes_are_read_in_either_case_and_in_folders_below(folder):
    (folder / 'cats' / 'more').mkdir()
    (folder / 'cats' / 'cats-0-0.jpg').rename(folder / 'cats' / 'more' / 'A.JPEG')
    (folder / 'cats' / 'cats-0-1.jpg').rename(folder / 'cats' / 'B.Png')

    names = [image.filename for image in FolderSource(folder).images()]

    assert {'cats/more/A.JPEG', 'cats/B.Png'} <= set(names)
    assert len(names) == 6


@pytest.mark.parametrize('name', ['Thumbs.db', 'notes.txt', '._cats-0-0.jpg', '.DS_Store'])
def test_files_that_are_no_images_are_left_out(folder, name):
    (folder / 'cats' / name).write_bytes(b'not an image')

    assert FolderSource(folder).count == 6


@pytest.mark.parametrize('name', ['.hidden', 'empty'])
def test_hidden_and_empty_folders_are_no_classes(folder, name):
    (folder / name).mkdir()
    if name == '.hidden':
        (folder / name / 'a.jpg').write_bytes(b'')

    assert FolderSource(folder).classes == ('cats', 'dogs')


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

    with pytest.raises(
        DataError, match=r'a\.jpg does not exist; give a folder with one folder per'
    ):
        FolderSource(tmp_path / 'a.jpg')


def test_an_empty_folder_is_told_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r'holds no images; expected .*/CLASS/\*\.jpg \(or \.jpeg'):
        FolderSource(tmp_path)


def test_one_class_is_not_enough(tmp_path, make_image_folder):
    make_image_folder(tmp_path, 1, classes=('cats',))

    with pytest.raises(DataError, match=r'has 1 class \(cats\); expected two folders'):
        FolderSource(tmp_path)


def test_more_than_two_classes_are_too_many(tmp_path, make_image_folder):
    make_image_folder(tmp_path, 1, classes=('a', 'b', 'c', 'd', 'e', 'f'))

    with pytest.raises(DataError, match=r'has 6 classes \(a, b, c, d, e, \.\.\.\); expected two'):
        FolderSource(tmp_path)


def test_an_image_that_vanishes_is_named(folder):
    source = FolderSource(folder)
    (folder / 'dogs' / 'dogs-0-1.jpg').unlink()

    with pytest.raises(DataError, match=r'dogs-0-1\.jpg cannot be read: No such file'):
        list(source.images())


@pytest.fixture
def parts(tmp_path, make_image_folder):
    make_image_folder(tmp_path / 'filtered' / 'train', per_class=3)
    make_image_folder(tmp_path / 'filtered' / 'validation', per_class=2, seed=1)
    return tmp_path / 'filtered'


def test_images_in_train_and_validation_say_which_they_come_from(parts):
    source = FolderSource(parts)

    assert source.classes == ('cats', 'dogs')
    assert source.count == 10
    for image in source.images():
        part, class_name, _ = Path(image.filename).parts
        assert (image.part, source.classes[image.label]) == (part, class_name)


def test_images_in_class_folders_are_of_no_part(folder):
    assert {image.part for image in FolderSource(folder).images()} == {None}


def test_files_beside_train_and_validation_change_nothing(parts):
    (parts / 'vectorize.py').write_text('')

    assert FolderSource(parts).count == 10


def test_classes_may_be_called_train_and_validation(tmp_path, make_image_folder):
    make_image_folder(tmp_path, 1, classes=('train', 'validation'))

    source = FolderSource(tmp_path)

    assert source.classes == ('train', 'validation')
    assert {image.part for image in source.images()} == {None}


def test_an_image_beside_the_class_folders_of_a_part_is_named(parts):
    (parts / 'validation' / 'cats' / 'cats-1-0.jpg').rename(parts / 'validation' / 'lost.jpg')

    with pytest.raises(
        DataError, match=r'validation/lost\.jpg is in no class folder; expected .*/train/CLASS/'
    ):
        FolderSource(parts)


def test_parts_with_other_classes_are_refused(parts):
    (parts / 'validation' / 'dogs').rename(parts / 'validation' / 'wolves')

    sentence = r'has 2 classes \(cats, dogs\) in train and 2 classes \(cats, wolves\) in validation'
    with pytest.raises(DataError, match=sentence):
        FolderSource(parts)


def test_a_third_part_is_told_as_what_it_looks_like(parts, make_image_folder):
    make_image_folder(parts / 'test', per_class=1)

    with pytest.raises(DataError, match=r'has 3 classes \(test, train, validation\); expected two'):
        FolderSource(parts)


def test_links_to_folders_are_followed_and_end(tmp_path, folder):
    (tmp_path / 'links').mkdir()
    (tmp_path / 'links' / 'cats').symlink_to(folder / 'cats')
    (tmp_path / 'links' / 'dogs').symlink_to(folder / 'dogs')
    (folder / 'cats' / 'back').symlink_to(folder)

    assert FolderSource(tmp_path / 'links').count == 6

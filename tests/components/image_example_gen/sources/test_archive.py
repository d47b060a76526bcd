"""Zip and tar archives as sources; most are made in memory, of a few bytes an image."""

import io
import pickle
import random
import stat
import tarfile
import zipfile

import pytest

from common.errors import DataError
from components.image_example_gen.sources.archive.source import ArchiveSource
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)

PETS = {
    f'{name}/{number}.jpg': random.Random(f'{name}{number}').randbytes(700)
    for name in ('cats', 'dogs')
    for number in range(3)
}
FORMATS = ['zip', 'tar', 'tar.gz', 'tar.bz2', 'tar.xz']


@pytest.fixture
def make(tmp_path):
    """`make(files, 'tar.gz')`: an archive of files by their names."""

    def make_archive(files=PETS, kind='zip', name=None):
        path = tmp_path / (name or f'pets.{kind}')
        if kind == 'zip':
            with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
                for place, contents in files.items():
                    archive.writestr(place, contents)
            return path
        mode = {'tar': 'w', 'tar.gz': 'w:gz', 'tar.bz2': 'w:bz2', 'tar.xz': 'w:xz'}[kind]
        with tarfile.open(path, mode) as archive:
            for place, contents in files.items():
                entry = tarfile.TarInfo(place)
                entry.size = len(contents)
                archive.addfile(entry, io.BytesIO(contents))
        return path

    return make_archive


def images_of(source):
    return {image.filename: image for image in every_image(source)}


def below(folder, files=PETS):
    return {f'{folder}/{name}': contents for name, contents in files.items()}


@pytest.mark.parametrize('kind', FORMATS)
def test_every_image_comes_once_with_its_bytes_and_its_label(make, kind):
    source = ArchiveSource(make(kind=kind))

    assert (source.classes, source.count) == (('cats', 'dogs'), 6)
    assert images_of(source) == {
        name: LabelledImage(contents, int(name.startswith('dogs')), name)
        for name, contents in PETS.items()
    }


@pytest.mark.parametrize(
    'files',
    [
        {'cats/0.jpg': PETS['cats/0.jpg']},
        {name.replace('0', '9'): contents for name, contents in PETS.items()},
    ],
)
def test_a_compressed_tar_that_changes_between_listing_and_reading_is_told(make, files):
    source = ArchiveSource(make(kind='tar.gz'))
    make(files, 'tar.gz')

    sentence = r'archive .*pets\.tar\.gz changed while it was read; start again$'
    with pytest.raises(DataError, match=sentence):
        images_of(source)


def test_an_archive_that_nobody_may_read_is_not_called_damaged(make, monkeypatch):
    archive = make()

    def refuse(*_):
        raise PermissionError(13, 'Permission denied', str(archive))

    monkeypatch.setattr('pathlib.Path.open', refuse)  # the tests may run as root
    sentence = r'pets\.zip cannot be read: Permission denied; give yourself the right to read it$'
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(archive)


@pytest.mark.parametrize('wanted', [None, ('K\u00fche', 'cats'), ('Ku\u0308he', 'cats')])
def test_an_umlaut_in_two_characters_is_that_in_one(make, wanted):
    decomposed = {name.replace('dogs', 'Ku\u0308he'): each for name, each in PETS.items()}

    source = ArchiveSource(make(decomposed), wanted)

    assert sorted(source.classes) == ['K\u00fche', 'cats']
    image = images_of(source)['Ku\u0308he/1.jpg']  # files keep their names
    assert source.classes[image.label] == 'K\u00fche'


@pytest.mark.parametrize('around', ['', 'pets/'])
@pytest.mark.parametrize('name', ['span-0', '2026-11-21'])
def test_spans_in_an_archive_are_refused(make, around, name):
    archive = make(below(f'{around}{name}') | below(f'{around}span-2'))

    sentence = rf'pets\.zip holds {name}, a folder of a span, and .*; extract it and give the fold'
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(archive)


@pytest.mark.parametrize('kind', FORMATS)
def test_train_and_validation_in_a_folder_around_them_say_which_they_are(make, kind):
    files = below('pets/train') | below('pets/validation') | {'pets/vectorize.py': b''}

    source = ArchiveSource(make(files, kind))

    assert (source.classes, source.count, source.ignored) == (('cats', 'dogs'), 12, 1)
    for name, image in images_of(source).items():
        assert image.part == name.split('/')[1]
        assert image.contents == files[name]


def test_class_folders_may_have_a_folder_around_them(make):
    assert ArchiveSource(make(below('PetImages') | {'readme.txt': b''})).classes == ('cats', 'dogs')


def test_names_that_begin_with_a_dot_and_a_slash_are_understood(make):
    assert ArchiveSource(make(below('.'), 'tar')).classes == ('cats', 'dogs')


def test_names_from_windows_are_understood(make):
    path = make({name.replace('/', '\\'): contents for name, contents in PETS.items()})

    assert set(images_of(ArchiveSource(path))) == set(PETS)


@pytest.mark.parametrize('kind', FORMATS)
def test_a_part_can_be_sent_to_another_process(make, kind):
    (shard,) = ArchiveSource(make(kind=kind)).shards()

    assert list(pickle.loads(pickle.dumps(shard)).images()) == list(shard.images())


@pytest.mark.parametrize(('kind', 'parts'), [('zip', 2), ('tar', 2), ('tar.gz', 1)])
def test_what_can_be_read_anywhere_comes_in_parts_that_hold_all_classes(
    make, kind, parts, monkeypatch
):
    monkeypatch.setattr('components.image_example_gen.sources.base.members.IMAGES_PER_SHARD', 3)

    shards = ArchiveSource(make(kind=kind)).shards()

    assert len(shards) == parts
    assert all({image.label for image in shard.images()} == {0, 1} for shard in shards)


def test_what_desktops_leave_is_passed_over_and_the_rest_counted(make):
    litter = ('__MACOSX/cats/._0.jpg', 'cats/.DS_Store', '.git/a.jpg', 'Thumbs.db', '__MACOSX/')
    source = ArchiveSource(make(PETS | dict.fromkeys((*litter, 'cats/notes.txt'), b'')))

    assert (source.classes, source.count, source.ignored) == (('cats', 'dogs'), 6, 1)


def test_a_list_gives_the_labels_and_images_of_other_classes_are_bad(make):
    source = ArchiveSource(make(PETS | {'wolves/0.jpg': b'wolf'}), ('dogs', 'cats'))

    images = images_of(source)

    assert images['dogs/0.jpg'].label == 0
    assert images['wolves/0.jpg'].reason == 'label outside the list'


def test_a_class_folder_without_images_is_named(make):
    with pytest.raises(DataError, match=r"^class 'foxes' has no images in archive .*pets\.zip"):
        ArchiveSource(make(PETS | {'foxes/': b''}))


def test_images_in_no_class_folder_are_told_with_what_is_understood(make):
    with pytest.raises(
        DataError,
        match='holds images in no class folder; expected a folder per class, or train and valid',
    ):
        ArchiveSource(make({'a.jpg': b'', 'b.jpg': b''}))


@pytest.mark.parametrize(
    'name', ['../../etc/cats/1.jpg', '/etc/cats/1.jpg', 'cats/../../1.jpg', 'C:\\cats\\1.jpg']
)
@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_a_name_that_leads_out_is_refused(make, name, kind):
    with pytest.raises(DataError, match='a name that leads out of it; expected names such as'):
        ArchiveSource(make(PETS | {name: b''}, kind))


def test_links_and_devices_in_a_tar_are_left_out(make):
    path = make(kind='tar')
    with tarfile.open(path, 'a') as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(f'cats/link{number}.jpg')
            entry.type, entry.linkname = kind, '/etc/passwd'
            archive.addfile(entry)

    source = ArchiveSource(path)

    assert (set(images_of(source)), source.ignored) == (set(PETS), 3)


def test_links_in_a_zip_are_left_out(make):
    path = make()
    with zipfile.ZipFile(path, 'a') as archive:
        link = zipfile.ZipInfo('cats/link.jpg')
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, '/etc/passwd')

    source = ArchiveSource(path)

    assert (set(images_of(source)), source.ignored) == (set(PETS), 1)


@pytest.mark.parametrize('kind', FORMATS)
def test_an_archive_that_is_cut_off_anywhere_is_told(make, kind):
    path = make(kind=kind)
    whole = path.read_bytes()

    for tenth in range(1, 10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        if kind == 'tar' and len(whole) * tenth // 10 >= 6 * 1536:
            continue  # cut in the zeros behind the end
        with pytest.raises(DataError, match=r'cannot be read, it may be cut off or damaged: \w'):
            ArchiveSource(path)


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(make):
    path = make(kind='tar')
    contents = bytearray(path.read_bytes())
    contents[3 * 1536 + 100] ^= 0xFF
    path.write_bytes(contents)

    with pytest.raises(DataError, match='cut off or damaged: there is no whole header at 4608'):
        ArchiveSource(path)


@pytest.mark.parametrize('contents', [b'', b'<html>', b'Rar!\x1a\x07\x00'])
def test_what_is_no_archive_is_told(tmp_path, contents):
    (tmp_path / 'pets.zip').write_bytes(contents)

    with pytest.raises(DataError, match=r'is no archive that can be read; expected zip, tar'):
        ArchiveSource(tmp_path / 'pets.zip')


def test_an_archive_of_nothing_is_told(make):
    for kind in FORMATS:
        with pytest.raises(DataError, match='holds no images; expected a folder per class'):
            ArchiveSource(make({}, kind))


def test_a_missing_archive_is_told(tmp_path):
    with pytest.raises(DataError, match=r'pets\.zip does not exist; give a file \(zip, tar'):
        ArchiveSource(tmp_path / 'pets.zip')


def test_a_name_of_another_format_does_not_matter(make):
    assert ArchiveSource(make(kind='tar.gz', name='pets.zip')).count == 6


def test_an_encrypted_archive_is_told(make):
    path = make()
    contents = bytearray(path.read_bytes())
    place = contents.index(b'PK\x01\x02')
    contents[place + 8] |= 1  # flags in the directory, as a program that encrypts sets them
    path.write_bytes(contents)

    with pytest.raises(DataError, match='is encrypted; give one without a password'):
        ArchiveSource(path)


def test_a_method_that_python_does_not_know_is_told(make):
    path = make()
    contents = bytearray(path.read_bytes())
    contents[contents.index(b'PK\x01\x02') + 10] = 9  # Deflate64, which Windows uses when large
    path.write_bytes(contents)

    with pytest.raises(DataError, match='is compressed with method 9, which Python does not know'):
        ArchiveSource(path)


def test_a_member_with_a_wrong_checksum_is_bad_and_the_others_come(make):
    path = make()
    contents = bytearray(path.read_bytes())
    contents[contents.index(PETS['cats/1.jpg'][300:320])] ^= 0xFF
    path.write_bytes(contents)

    images = images_of(ArchiveSource(path))

    bad = images.pop('cats/1.jpg')
    assert (bad.reason, bad.detail) == (
        'unreadable',
        "it cannot be read: Bad CRC-32 for file 'cats/1.jpg'",
    )
    assert all(isinstance(image, LabelledImage) for image in images.values())


@pytest.mark.parametrize('kind', FORMATS)
def test_a_member_that_is_too_large_is_bad(make, kind):
    source = ArchiveSource(make(PETS | {'cats/huge.jpg': bytes(5000)}, kind), max_bytes=4000)

    huge = images_of(source)['cats/huge.jpg']

    assert (huge.reason, huge.contents) == ('too large', b'')


def test_a_member_that_lies_about_its_size_is_not_unpacked(make):
    path = make(PETS | {'cats/bomb.jpg': bytes(10**7)})
    contents = bytearray(path.read_bytes())
    entry = contents.rindex(b'PK\x01\x02', 0, contents.rindex(b'cats/bomb.jpg'))
    contents[entry + 24 : entry + 28] = (1000).to_bytes(4, 'little')  # unpacked size
    path.write_bytes(contents)

    bomb = images_of(ArchiveSource(path, max_bytes=4000))['cats/bomb.jpg']

    assert (bomb.reason, bomb.contents) == ('unreadable', b'')


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_an_archive_that_vanishes_is_told(make, kind):
    path = make(kind=kind)
    (shard,) = ArchiveSource(path).shards()
    path.unlink()

    with pytest.raises(DataError, match='cannot be read: No such file or directory'):
        list(shard.images())


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_of_two_members_with_one_name_the_later_counts(make, kind):
    path = make(kind=kind)
    twin = io.BytesIO(b'later')
    if kind == 'zip':
        with zipfile.ZipFile(path, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
            archive.writestr('cats/0.jpg', twin.getvalue())
    else:
        with tarfile.open(path, 'a') as archive:
            entry = tarfile.TarInfo('cats/0.jpg')
            entry.size = 5
            archive.addfile(entry, twin)

    source = ArchiveSource(path)

    assert (source.count, images_of(source)['cats/0.jpg'].contents) == (6, b'later')


@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
def test_a_copy_has_the_same_fingerprint_and_another_image_another(make, kind):
    first = ArchiveSource(make(kind=kind)).fingerprint
    copy = ArchiveSource(make(kind=kind, name='copy')).fingerprint
    changed = ArchiveSource(make(PETS | {'cats/0.jpg': b'new'}, kind)).fingerprint

    assert first == copy != changed


def test_an_archive_that_is_written_again_is_read_again(make):
    make()
    assert ArchiveSource(make()).count == 6
    more = ArchiveSource(make(PETS | {'cats/new.jpg': b'new'}))

    assert images_of(more)['cats/new.jpg'].contents == b'new'


def test_a_tar_of_many_images_takes_little_memory_to_list(make):
    """`tarfile` by itself would keep an object of about 1 kB for each."""
    from components.image_example_gen.sources.archive.listing import opened_tar, tar_entries

    path = make({f'cats/{number}.jpg': b'' for number in range(300)}, 'tar')

    with opened_tar(path) as archive:
        kept = [len(archive.members) for _ in tar_entries(archive)]

    assert max(kept) <= 1


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_whatever_is_damaged_it_is_told_in_one_sentence(make, kind):
    names = PETS | {'cats/' + 'long' * 40 + '.jpg': b'long', 'dogs/\u00e4.jpg': b'umlaut'}
    whole = make(names, kind).read_bytes()
    path = make(names, kind, name='damaged')
    random_ = random.Random(kind)

    for _ in range(100):
        contents = bytearray(whole)
        for _ in range(random_.choice([1, 2, 10])):
            place = random_.randrange(len(contents))
            end = place + random_.choice([0, 1, 1, 1, 20])
            contents[place:end] = random_.randbytes(random_.choice([0, 1, 1, 1, 20]))
        path.write_bytes(contents)
        try:
            images = list(every_image(ArchiveSource(path)))
        except DataError as error:
            assert '\n' not in str(error)  # noqa: PT017  # most raise, and not all
        else:
            assert all(isinstance(image, (LabelledImage, BadImage)) for image in images)

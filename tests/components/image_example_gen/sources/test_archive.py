"""Zip and tar archives as sources; most are made in memory, of a few bytes an image."""

import concurrent.futures
import gzip
import io
import pickle
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from common.errors import DataError
from components.image_example_gen.sources.archive import extraction, source
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
extract_in_subprocess = source._run_extraction


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder; archives are extracted in this process, which is faster."""
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(source, '_run_extraction', extraction.extract_archive)
    return tmp_path / 'cache'


@pytest.fixture
def in_subprocess(cache, monkeypatch):
    monkeypatch.setattr(source, '_run_extraction', extract_in_subprocess)


@pytest.fixture
def make(tmp_path):
    """`make(files, 'tar.gz')`: an archive of files by their names."""

    def make_archive(files=PETS, kind='zip', name=None):
        path = tmp_path / (name or f'pets.{kind}')
        path.unlink(missing_ok=True)
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


def patch(path, offset, contents):
    """Overwrites bytes of a file."""
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(contents)] = contents
    path.write_bytes(whole)


@pytest.mark.parametrize('kind', FORMATS)
def test_reads_every_image_once(make, kind, in_subprocess):
    archive = ArchiveSource(make(kind=kind))

    assert (archive.classes, archive.count) == (('cats', 'dogs'), 6)
    assert images_of(archive) == {
        name: LabelledImage(contents, int(name.startswith('dogs')), name)
        for name, contents in PETS.items()
    }


def test_unchanged_archive_is_extracted_once(make, monkeypatch):
    path = make()
    first = images_of(ArchiveSource(path))
    monkeypatch.setattr(source, '_run_extraction', lambda *_: pytest.fail('extracted again'))

    assert images_of(ArchiveSource(path)) == first


def test_changed_archive_replaces_extracted_one(make, cache):
    make()
    assert ArchiveSource(make()).count == 6
    changed = ArchiveSource(make(PETS | {'cats/new.jpg': b'new'}))

    assert images_of(changed)['cats/new.jpg'].contents == b'new'
    assert len(list(cache.rglob('contents.json'))) == 1


def test_run_of_replaced_archive_fails(make):
    (shard,) = ArchiveSource(make()).shards()
    ArchiveSource(make(PETS | {'cats/new.jpg': b'new'}))

    with pytest.raises(DataError, match=r'archive .*pets\.zip, is gone: .*; start again$'):
        list(shard.images())


def test_extracted_archive_is_read_without_the_archive(make):
    path = make()
    archive = ArchiveSource(path)
    path.unlink()

    assert set(images_of(archive)) == set(PETS)


def test_extracted_archive_that_lost_images_is_refused(make, cache):
    ArchiveSource(make(kind='tar'))
    next(cache.rglob('0.jpg')).unlink()

    with pytest.raises(DataError, match=r'has lost images of archive .*pets\.tar; remove it'):
        ArchiveSource(Path(cache.parent, 'pets.tar'))


def test_leftovers_of_killed_extraction_are_not_used(make, cache):
    path = make()
    partial = extraction.extraction_folder(path).with_name('partial')
    (partial / 'images/cats').mkdir(parents=True)
    (partial / 'images/cats/old.jpg').touch()

    assert set(images_of(ArchiveSource(path))) == set(PETS)
    assert not partial.exists()


def test_archive_changed_during_extraction_is_refused(make, monkeypatch, cache):
    path = make()
    monkeypatch.setattr(extraction, 'extraction_folder', lambda _: 'another')

    with pytest.raises(DataError, match=r'pets\.zip changed while it was read; start again$'):
        ArchiveSource(path)
    assert not list(cache.rglob('*.jpg'))


def test_two_runs_extract_the_same_archive_at_once(make, in_subprocess):
    path = make()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: images_of(ArchiveSource(path)), range(3)))

    assert found[0].keys() == PETS.keys()
    assert found[0] == found[1] == found[2]


def test_extraction_has_limited_time(make, in_subprocess, monkeypatch):
    monkeypatch.setattr(source, '_SECONDS', 0)

    with pytest.raises(DataError, match=r'pets\.zip takes longer than 0 s to extract$'):
        ArchiveSource(make())


def test_crashed_extraction_is_reported(make, in_subprocess, monkeypatch):
    monkeypatch.setattr(sys, 'executable', shutil.which('false'))

    with pytest.raises(DataError, match=r'pets\.zip cannot be extracted \(exit 1\): no message$'):
        ArchiveSource(make())


@pytest.mark.parametrize('kind', [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_huge_tar_header_ends_in_limited_memory(tmp_path, kind):
    header = tarfile.TarInfo('header')
    header.type, header.size = kind, 200 * 2**20
    with gzip.open(tmp_path / 'pets.tar.gz', 'wb', compresslevel=1) as file:
        file.write(header.tobuf())
        for _ in range(200):
            file.write(bytes(2**20))
    program = (
        f'import sys; from {extraction.__name__.rpartition(".")[0]} import extraction; '
        'extraction._MEMORY = 2**27; sys.exit(extraction.main(*sys.argv[1:]))'
    )
    arguments = tmp_path / 'pets.tar.gz', tmp_path / 'extracted' / 'pets'

    done = subprocess.run([sys.executable, '-c', program, *arguments], capture_output=True)

    assert (done.returncode, done.stderr) == (1, b'')
    assert b'it may be damaged' in done.stdout


def test_decompression_bomb_is_refused(make, monkeypatch, cache):
    monkeypatch.setattr(extraction, '_ALWAYS_ALLOWED', 1000)

    for kind in ('zip', 'tar.gz'):
        with pytest.raises(DataError, match=r'unpacks to more than 200 times its size; it may'):
            ArchiveSource(make(PETS | {'notes.txt': bytes(10**7)}, kind))
    assert not list(cache.rglob('*.jpg'))


def test_number_of_members_is_limited(make, monkeypatch):
    monkeypatch.setattr(extraction, '_MEMBERS', 5)

    with pytest.raises(DataError, match=r'pets\.zip has more than 5 members; divide it$'):
        ArchiveSource(make())


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_full_disk_is_reported(make, monkeypatch, kind):
    full = shutil._ntuple_diskusage(total=10**9, used=10**9 - 1000, free=1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: full)

    sentence = r'extracted into .*: No space left on device; CATDOG_CACHE names another folder$'
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(make(kind=kind))


def test_unwritable_cache_is_reported(make, cache):
    cache.write_text('a file')

    with pytest.raises(DataError, match=r'extracted into .*; CATDOG_CACHE names another folder$'):
        ArchiveSource(make())


def test_unreadable_archive_is_not_called_damaged(make, monkeypatch):
    archive = make()

    def refuse(*_):
        raise PermissionError(13, 'Permission denied', str(archive))

    monkeypatch.setattr(extraction, 'is_zip', refuse)  # the tests may run as root
    sentence = r'pets\.zip cannot be read: Permission denied; give yourself the right to read it$'
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(archive)


@pytest.mark.parametrize('wanted', [None, ('K\u00fche', 'cats'), ('Ku\u0308he', 'cats')])
def test_decomposed_class_name_equals_composed_one(make, wanted):
    decomposed = {name.replace('dogs', 'Ku\u0308he'): each for name, each in PETS.items()}

    archive = ArchiveSource(make(decomposed), wanted)

    assert sorted(archive.classes) == ['K\u00fche', 'cats']
    image = images_of(archive)['Ku\u0308he/1.jpg']  # files keep their names
    assert archive.classes[image.label] == 'K\u00fche'


@pytest.mark.parametrize('around', ['', 'pets/'])
@pytest.mark.parametrize('name', ['span-0', '2026-11-21'])
def test_spans_in_archive_are_refused(make, around, name):
    path = make(below(f'{around}{name}') | below(f'{around}span-2'))

    sentence = rf'pets\.zip contains {name}, the folder of a span, .*; extract it'
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(path)


@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
def test_train_and_validation_are_kept_apart(make, kind):
    files = below('pets/train') | below('pets/validation') | {'pets/vectorize.py': b''}

    archive = ArchiveSource(make(files, kind))

    assert (archive.classes, archive.count, archive.ignored) == (('cats', 'dogs'), 12, 1)
    for name, image in images_of(archive).items():
        assert image.part == name.split('/')[1]
        assert image.contents == files[name]


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize('folder', ['PetImages', '.', './a/b'])
def test_folders_around_class_folders_are_skipped(make, kind, folder):
    files = below(folder) | {'readme.txt': b''}

    assert ArchiveSource(make(files, kind)).classes == ('cats', 'dogs')


def test_backslashes_in_zip_divide_folders(make):
    path = make({name.replace('/', '\\'): contents for name, contents in PETS.items()})

    assert set(images_of(ArchiveSource(path))) == set(PETS)


@pytest.mark.parametrize('kind', FORMATS)
def test_shards_hold_all_classes(make, kind, monkeypatch):
    monkeypatch.setattr('components.image_example_gen.sources.folder.source.IMAGES_PER_SHARD', 3)

    shards = pickle.loads(pickle.dumps(ArchiveSource(make(kind=kind)).shards()))

    assert len(shards) == 2
    assert all({image.label for image in shard.images()} == {0, 1} for shard in shards)


def test_litter_is_skipped_and_other_files_are_counted(make):
    litter = ('__MACOSX/cats/._0.jpg', 'cats/.DS_Store', '.git/a.jpg', 'Thumbs.db', '__MACOSX/')
    archive = ArchiveSource(make(PETS | dict.fromkeys((*litter, 'cats/notes.txt'), b'')))

    assert (archive.classes, archive.count, archive.ignored) == (('cats', 'dogs'), 6, 1)


def test_images_of_unlisted_classes_are_bad(make):
    archive = ArchiveSource(make(PETS | {'wolves/0.jpg': b'wolf'}), ('dogs', 'cats'))

    images = images_of(archive)

    assert images['dogs/0.jpg'].label == 0
    assert images['wolves/0.jpg'].reason == 'label outside the list'


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize(
    ('files', 'sentence'),
    [
        (PETS | {'foxes/a.txt': b''}, r"^class 'foxes' has no images in archive .*pets\."),
        ({'a.jpg': b'', 'b.jpg': b''}, 'holds only images outside class folders; expected'),
        ({}, 'holds no images; expected a folder per class'),
        (PETS | {'../../etc/cats/1.jpg': b''}, 'a name that leads out of it; expected names such'),
        (PETS | {'/etc/cats/1.jpg': b''}, 'a name that leads out of it; expected names such as'),
        (PETS | {'cats/../../1.jpg': b''}, 'a name that leads out of it; expected names such as'),
        (PETS | {'C:\\cats\\1.jpg': b''}, 'a name that leads out of it; expected names such as'),
        (PETS | {'a/' * 64 + '1.jpg': b''}, 'which is more than 64 folders deep; expected names'),
    ],
)
def test_unusable_contents_are_refused(make, kind, files, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(make(files, kind))
    assert not list(tmp_path.rglob('*.jpg'))[6:]


def test_links_and_devices_in_tar_are_ignored(make):
    path = make(kind='tar')
    with tarfile.open(path, 'a') as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(f'cats/link{number}.jpg')
            entry.type, entry.linkname = kind, '/etc/passwd'
            archive.addfile(entry)

    found = ArchiveSource(path)

    assert (set(images_of(found)), found.ignored) == (set(PETS), 3)


def test_links_in_zip_are_ignored(make):
    path = make()
    with zipfile.ZipFile(path, 'a') as archive:
        link = zipfile.ZipInfo('cats/link.jpg')
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, '/etc/passwd')

    found = ArchiveSource(path)

    assert (set(images_of(found)), found.ignored) == (set(PETS), 1)


@pytest.mark.parametrize('kind', FORMATS)
def test_truncated_archive_is_refused(make, kind, cache):
    path = make(kind=kind)
    whole = path.read_bytes()

    for tenth in range(1, 10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        if kind == 'tar' and len(whole) * tenth // 10 >= 6 * 1536:
            continue  # cut in the zeros behind the end
        with pytest.raises(DataError, match=r'cannot be read, it may be cut off or damaged: \w'):
            ArchiveSource(path)
    assert not list(cache.rglob('*.jpg'))


def test_damaged_header_is_not_taken_for_the_end(make):
    path = make(kind='tar')
    patch(path, 3 * 1536 + 100, b'\xff')

    with pytest.raises(DataError, match='cut off or damaged: there is no whole header at 4608'):
        ArchiveSource(path)


@pytest.mark.parametrize('contents', [b'', b'<html>', b'Rar!\x1a\x07\x00'])
def test_other_files_are_refused(tmp_path, contents, in_subprocess):
    (tmp_path / 'pets.zip').write_bytes(contents)

    with pytest.raises(DataError, match=r'is no archive that can be read; expected zip, tar'):
        ArchiveSource(tmp_path / 'pets.zip')


def test_missing_archive_is_reported(tmp_path):
    with pytest.raises(DataError, match=r'pets\.zip does not exist; give a file \(zip, tar'):
        ArchiveSource(tmp_path / 'pets.zip')


def test_format_is_detected_by_content(make):
    assert ArchiveSource(make(kind='tar.gz', name='pets.zip')).count == 6


@pytest.mark.parametrize(
    ('field', 'value', 'sentence'),
    [
        (8, 1, 'is encrypted; give one without a password'),  # flags
        (10, 9, 'is compressed with method 9, which Python does not know'),  # Deflate64
    ],
)
def test_encrypted_or_unknown_compression_is_refused(make, field, value, sentence):
    path = make()
    patch(path, path.read_bytes().index(b'PK\x01\x02') + field, bytes([value]))

    with pytest.raises(DataError, match=sentence):
        ArchiveSource(path)


def test_member_with_wrong_checksum_is_bad(make):
    path = make()
    patch(path, path.read_bytes().index(PETS['cats/1.jpg'][300:320]), b'\0')

    archive = ArchiveSource(path)
    images = images_of(archive)

    bad = images.pop('cats/1.jpg')
    detail = "it cannot be read: Bad CRC-32 for file 'cats/1.jpg'"
    assert bad == BadImage('cats/1.jpg', 'unreadable', detail)
    assert all(isinstance(image, LabelledImage) for image in images.values())
    assert archive.count == 6


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize('name', [f'cats/{"x" * 300}.jpg', 'cats/0.jpg/a.jpg'])
def test_member_that_cannot_be_stored_is_bad(make, kind, name):
    images = images_of(ArchiveSource(make(PETS | {name: b'odd'}, kind))).values()

    (bad,) = (image for image in images if isinstance(image, BadImage))
    assert bad.reason == 'unreadable'
    assert len(images) == 7


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_too_large_member_is_bad(make, kind):
    path = make(PETS | {'cats/huge.jpg': bytes(5000)}, kind)

    huge = images_of(ArchiveSource(path, max_bytes=4000))['cats/huge.jpg']

    assert (huge.reason, huge.contents) == ('too large', b'')


def test_member_with_wrong_size_is_not_unpacked(make):
    path = make(PETS | {'cats/bomb.jpg': bytes(10**7)})
    contents = path.read_bytes()
    entry = contents.rindex(b'PK\x01\x02', 0, contents.rindex(b'cats/bomb.jpg'))
    patch(path, entry + 24, (1000).to_bytes(4, 'little'))

    bomb = images_of(ArchiveSource(path, max_bytes=4000))['cats/bomb.jpg']

    assert (bomb.reason, bomb.contents) == ('unreadable', b'')


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_later_member_of_the_same_name_counts(make, kind):
    path = make(kind=kind)
    if kind == 'zip':
        with zipfile.ZipFile(path, 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
            archive.writestr('cats/0.jpg', b'later')
    else:
        with tarfile.open(path, 'a') as archive:
            entry = tarfile.TarInfo('cats/0.jpg')
            entry.size = 5
            archive.addfile(entry, io.BytesIO(b'later'))

    found = ArchiveSource(path)

    assert (found.count, images_of(found)['cats/0.jpg'].contents) == (6, b'later')


@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
def test_fingerprint_depends_on_images_only(make, kind):
    first = ArchiveSource(make(kind=kind)).fingerprint
    copy = ArchiveSource(make(kind=kind, name='copy')).fingerprint
    changed = ArchiveSource(make(PETS | {'cats/0.jpg': b'new'}, kind)).fingerprint

    assert first == copy != changed


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_random_damage_is_reported_in_one_sentence(make, kind):
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

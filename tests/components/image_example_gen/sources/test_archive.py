import bz2
import concurrent.futures
import io
import pickle
import random
import stat
import struct
import sys
import tarfile
import zipfile
import zlib

import pytest

from common.errors import DataError
from components.image_example_gen.inspection import limited_process
from components.image_example_gen.sources.archive import extraction, source
from components.image_example_gen.sources.archive.source import ArchiveSource
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.open_source import make_source

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
        with tarfile.open(path, f'w:{kind[4:]}') as archive:
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
def test_reads_every_image_once(make, kind):
    path = make(kind=kind, name='misnamed.zip')
    archive = make_source(DataConfig(source='archive', path=path))
    shards = pickle.loads(pickle.dumps(archive.shards()))

    assert (archive.classes, archive.count) == (('cats', 'dogs'), 6)
    assert {image.filename: image for shard in shards for image in shard.images()} == {
        name: LabelledImage(contents, int(name.startswith('dogs')), name)
        for name, contents in PETS.items()
    }


def test_runs_extract_the_same_archive_once(make, monkeypatch, cache, in_subprocess):
    path = make(kind='tar.gz')
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: images_of(ArchiveSource(path)), range(2))
    monkeypatch.setattr(source, '_run_extraction', lambda *_: pytest.fail('extracted again'))

    assert first == second == images_of(ArchiveSource(path))
    assert len(list(cache.rglob('*.jpg'))) == len(PETS)


def test_changed_archive_replaces_extracted_one(make, cache):
    path = make()
    (old,) = ArchiveSource(path).shards()
    (versions,) = (each for each in (cache / 'extracted').iterdir() if each.is_dir())
    (versions / 'killed' / 'cats').mkdir(parents=True)
    changed = ArchiveSource(make(PETS | {'cats/new.jpg': b'new'}))

    assert images_of(changed)['cats/new.jpg'].contents == b'new'
    assert len(list(versions.iterdir())) == 1
    with pytest.raises(DataError, match=r'is gone: it was removed or replaced .*; start again$'):
        list(old.images())


def test_refuses_extracted_archive_that_lost_images(make, cache):
    path = make()
    ArchiveSource(path)
    next(cache.rglob('0.jpg')).unlink()

    with pytest.raises(DataError, match=r'has lost images of archive .*pets\.zip; remove it'):
        ArchiveSource(path)
    next(cache.rglob('contents.json')).write_text('')
    with pytest.raises(DataError, match='is damaged; remove it, start again'):
        ArchiveSource(path)


def test_refuses_archive_that_changes_during_extraction(make, monkeypatch):
    path = make()

    def extract_and_change(path, folder):
        extraction.extract_archive(path, folder)
        make(PETS | {'cats/new.jpg': b'new'})

    monkeypatch.setattr(source, '_run_extraction', extract_and_change)
    with pytest.raises(DataError, match=r'pets\.zip changed while it was read; start again$'):
        ArchiveSource(path)


def test_reports_crashed_extraction(make, monkeypatch, in_subprocess):
    monkeypatch.setattr(limited_process, '_idle', [])
    monkeypatch.setattr(sys, 'executable', '/bin/false')
    with pytest.raises(DataError, match=r'pets\.zip cannot be extracted: its decoder crashes'):
        ArchiveSource(make())


def test_limits_the_time_of_extraction(tmp_path, monkeypatch, in_subprocess):
    """A member of 1 GB, which is no image, of 2 kB in bzip2."""
    path, zeros = tmp_path / 'pets.tar.bz2', bytes(40 * 10**6)
    head = tarfile.TarInfo('zeros')
    head.size = 25 * len(zeros)
    path.write_bytes(bz2.compress(head.tobuf()) + bz2.compress(zeros) * 26)
    monkeypatch.setattr(limited_process.Limits, 'for_file', lambda _: limited_process.Limits(1))

    with pytest.raises(DataError, match=r'bz2 cannot be .*: it takes longer than 1 s$'):
        ArchiveSource(path)


def test_limits_the_memory_of_extraction(make, in_subprocess):
    path = make(kind='tar.xz')
    header = bytearray(path.read_bytes()[12:20])
    header[4] = 36  # the decompressor allocates a dictionary of 1 GiB
    patch(path, 12, bytes(header) + struct.pack('<I', zlib.crc32(header)))

    with pytest.raises(DataError, match=r'extracted: it needs more than 400 MB of memory$'):
        ArchiveSource(path)


@pytest.mark.parametrize(
    ('limit', 'value', 'sentence'),
    [
        ('_ALWAYS_ALLOWED', 1000, 'unpacks to more than 200 times its size; it may be a decomp'),
        ('_MEMBERS', 5, 'more than 5 members and folders; divide it'),
    ],
)
@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
def test_limits_size_and_members(make, monkeypatch, cache, limit, value, sentence, kind):
    monkeypatch.setattr(extraction, limit, value)

    with pytest.raises(DataError, match=sentence):
        ArchiveSource(make(PETS | {'notes.txt': bytes(10**7)}, kind))
    assert not list(cache.rglob('*.jpg'))


def test_limits_folders(make, monkeypatch):
    monkeypatch.setattr(extraction, '_MEMBERS', 60)
    deep = {f'cats/{n}/{"a/" * 40}1.jpg': PETS['cats/1.jpg'] for n in range(3)}

    with pytest.raises(DataError, match='more than 60 members and folders; divide it'):
        ArchiveSource(make(PETS | deep))


@pytest.mark.parametrize(
    ('names', 'sentence'),
    [
        (['cats', 'cats/a.jpg'], "contains 'cats/a.jpg' as a file and as a folder$"),
        (['/'.join(['a' * 250] * 20) + '.jpg'], 'File name too long: /'),
    ],
    ids=['file and folder', 'long path'],
)
def test_reports_names_that_no_cache_folder_can_have(make, names, sentence):
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(make(dict.fromkeys(names, PETS['cats/1.jpg']), 'zip'))


def test_reports_unwritable_cache(make, cache, in_subprocess):
    cache.write_text('a file')

    with pytest.raises(DataError, match=r'pets\.zip cannot be extracted: .*; CATDOG_CACHE names'):
        ArchiveSource(make())


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize('folder', ['PetImages', '.', './a/b'])
def test_skips_folders_around_parts_and_ignores_litter(make, kind, folder):
    litter = ('__MACOSX/cats/._0.jpg', 'cats/.DS_Store', '.git/a.jpg', 'Thumbs.db', '__MACOSX/')
    files = below(f'{folder}/train') | below(f'{folder}/validation')

    archive = ArchiveSource(
        make(files | dict.fromkeys((*litter, f'{folder}/notes.txt'), b''), kind)
    )

    assert (archive.classes, archive.count, archive.ignored) == (('cats', 'dogs'), 12, 1)
    expected = {'train': 'train', 'validation': 'eval_and_test'}
    for name, image in images_of(archive).items():
        assert image.part == expected[name.split('/')[0]]


def test_backslashes_in_zip_divide_folders(make):
    path = make({name.replace('/', '\\'): contents for name, contents in PETS.items()})

    assert set(images_of(ArchiveSource(path))) == set(PETS)


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize(
    ('files', 'sentence'),
    [
        (PETS | {'foxes/a.txt': b''}, r"^class 'foxes' has no images in archive .*pets\."),
        ({'a.jpg': b'', 'b.jpg': b''}, 'holds only images outside class folders; expected'),
        ({}, 'holds no images; expected a folder per class'),
        ({'cats/a.jpg': b'', 'cats/b.jpg': b''}, r'has 1 class \(cats\); expected two or more'),
        (PETS | {'../../etc/cats/1.jpg': b''}, 'a name that leads out of it; expected names such'),
        (PETS | {'/etc/cats/1.jpg': b''}, 'a name that leads out of it'),
        (PETS | {'C:\\cats\\1.jpg': b''}, 'a name that leads out of it'),
        (below('pets/span-0') | below('pets/2026-11-21'), 'the folder of a span; spans are only'),
        (PETS | {'a/' * 64 + '1.jpg': b''}, 'more than 64 folders deep'),
        (PETS | {f'cats/{"x" * 300}.jpg': b''}, 'a name of more than 255 bytes$'),
    ],
)
def test_refuses_unusable_contents(make, kind, files, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        ArchiveSource(make(files, kind))
    assert not list(tmp_path.glob('*.jpg'))


def test_ignores_links_and_devices(make):
    in_tar, in_zip = make(kind='tar'), make()
    with tarfile.open(in_tar, 'a') as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(f'cats/link{number}.jpg')
            entry.type, entry.linkname = kind, '/etc/passwd'
            archive.addfile(entry)
    with zipfile.ZipFile(in_zip, 'a') as archive:
        link = zipfile.ZipInfo('cats/link.jpg')
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, '/etc/passwd')

    assert set(images_of(ArchiveSource(in_tar))) == set(PETS)
    assert set(images_of(ArchiveSource(in_zip))) == set(PETS)


@pytest.mark.parametrize('kind', FORMATS)
def test_refuses_truncated_archive(make, kind, cache):
    path = make(kind=kind)
    whole = path.read_bytes()

    for tenth in (1, 3, 5, 7, 8):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        if kind == 'tar' and len(whole) * tenth // 10 >= 6 * 1536:
            continue  # cut in the zeros behind the end
        with pytest.raises(DataError, match='truncated'):
            ArchiveSource(path)
    assert not list(cache.rglob('*.jpg'))


def test_damaged_tar_header_is_not_taken_for_the_end(make):
    path = make(kind='tar')
    patch(path, 3 * 1536 + 100, b'\xff')

    with pytest.raises(DataError, match='no complete header at 4608'):
        ArchiveSource(path)


@pytest.mark.parametrize(
    ('offset', 'value', 'problem'),
    [(8, b'\1', 'encrypted'), (10, b'\x09', 'compression .* not supported')],  # Deflate64
)
def test_refuses_encrypted_or_unsupported_zip(make, offset, value, problem):
    path = make()
    patch(path, path.read_bytes().index(b'PK\x01\x02') + offset, value)

    with pytest.raises(DataError, match=f'{problem}.*; it may be truncated, damaged or encrypted'):
        ArchiveSource(path)


def test_refuses_zip_whose_directory_would_begin_before_the_file(make):
    path = make()
    patch(path, path.read_bytes().index(b'PK\x05\x06') + 16, b'\xff' * 4)  # offset of the directory

    with pytest.raises(DataError, match=r'^it is damaged$'):
        ArchiveSource(path)


def test_zip_member_with_wrong_checksum_is_bad(make):
    path = make()
    patch(path, path.read_bytes().index(PETS['cats/1.jpg'][300:320]), b'\0')

    archive = ArchiveSource(path)
    images = images_of(archive)

    detail = "it cannot be read: Bad CRC-32 for file 'cats/1.jpg'"
    assert images.pop('cats/1.jpg') == BadImage('cats/1.jpg', 'unreadable', detail)
    assert all(isinstance(image, LabelledImage) for image in images.values())
    assert (archive.count, len(images)) == (6, 5)


def test_refuses_missing_and_other_files(tmp_path, in_subprocess):
    path = tmp_path / 'pets.zip'
    with pytest.raises(DataError, match=r'pets\.zip does not exist; give a file \(zip, tar'):
        ArchiveSource(path)
    path.write_bytes(b'Rar!\x1a\x07\x00')
    with pytest.raises(DataError, match=r'pets\.zip cannot be .* no archive; expected zip, tar'):
        ArchiveSource(path)


def test_copy_of_an_archive_has_its_fingerprint(make, tmp_path):
    path = make()
    copy = tmp_path / 'copy'
    copy.write_bytes(path.read_bytes())
    fingerprint = ArchiveSource(path).fingerprint

    assert ArchiveSource(copy).fingerprint == fingerprint
    assert ArchiveSource(make(PETS | {'cats/0.jpg': b'new'})).fingerprint != fingerprint


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_random_damage_is_reported_in_one_line(make, kind):
    names = PETS | {'cats/' + 'long' * 40 + '.jpg': b'long', 'dogs/\u00e4.jpg': b'umlaut'}
    whole = make(names, kind).read_bytes()
    path = make(names, kind, name='damaged')
    random_ = random.Random(kind)

    for _ in range(30):
        contents = bytearray(whole)
        for place in random_.choices(range(len(whole)), k=random_.choice([1, 2, 10])):
            removed, added = random_.choices([0, 1, 20], k=2)
            contents[place : place + removed] = random_.randbytes(added)
        path.write_bytes(contents)
        try:
            images = list(every_image(ArchiveSource(path)))
        except DataError as error:
            assert '\n' not in str(error)  # noqa: PT017  # most raise, and not all
        else:
            assert all(isinstance(image, (LabelledImage, BadImage)) for image in images)

import concurrent.futures
import io
import random
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from common.errors import DataError
from components.image_example_gen.sources import archive
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import LabelledImage, every_image
from components.image_example_gen.sources.spans import make_source

PETS = {
    f'{name}/{number}.jpg': random.Random(f'{name}{number}').randbytes(700)
    for name in ('cats', 'dogs')
    for number in range(3)
}
FORMATS = ['zip', 'tar', 'tar.gz', 'tar.bz2', 'tar.xz']


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def make(tmp_path):
    """`make(files, 'tar.gz')`: an archive of files by their names.

    A text is a hard link, a path a symbolic one.
    """

    def make_archive(files=PETS, kind='zip', name=None):
        path = tmp_path / (name or f'pets.{kind}')
        path.unlink(missing_ok=True)
        if kind == 'zip':
            with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as target:
                for place, contents in files.items():
                    target.writestr(place, contents)
            return path
        with tarfile.open(path, f'w:{kind[4:]}') as target:
            for place, contents in files.items():
                entry = tarfile.TarInfo(place)
                if isinstance(contents, str | Path):
                    is_symbolic = isinstance(contents, Path)
                    entry.type = tarfile.SYMTYPE if is_symbolic else tarfile.LNKTYPE
                    entry.linkname, contents = str(contents), b''
                entry.size = len(contents)
                target.addfile(entry, io.BytesIO(contents))
        return path

    return make_archive


def open_archive(path):
    return make_source(DataConfig(source='archive', path=path))


def images_of(path):
    return {image.filename: image for image in every_image(open_archive(path))}


def below(folder, files=PETS):
    return {f'{folder}/{name}': contents for name, contents in files.items()}


def patch(path, where, offset, contents):
    """Overwrites bytes of a file, from an offset to other bytes."""
    whole = bytearray(path.read_bytes())
    start = whole.index(where) + offset
    whole[start : start + len(contents)] = contents
    path.write_bytes(whole)


@pytest.mark.parametrize('kind', FORMATS)
def test_reads_every_image_once(make, kind):
    assert images_of(make(kind=kind, name='misnamed.zip')) == {
        name: LabelledImage(contents, int(name.startswith('dogs')), name)
        for name, contents in PETS.items()
    }


def test_runs_extract_the_same_archive_once(make, monkeypatch, cache):
    path = make(kind='tar.gz')
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: images_of(path), range(2))
    monkeypatch.setattr(archive, 'call', lambda *_: pytest.fail('extracted again'))

    assert first == second == images_of(path)
    assert len(list(cache.rglob('*.jpg'))) == len(PETS)


def test_changed_archive_replaces_extracted_one(make, cache, monkeypatch):
    path = make()
    old = open_archive(path)
    (versions,) = (each for each in (cache / 'extracted').iterdir() if each.is_dir())
    (versions / 'killed' / 'cats').mkdir(parents=True)
    changed = images_of(make(PETS | {'cats/new.jpg': b'new'}))

    assert changed['cats/new.jpg'].contents == b'new'
    assert len(list(versions.iterdir())) == 1
    with pytest.raises(DataError, match=r'is gone: it was removed or replaced .*; start again$'):
        list(every_image(old))
    monkeypatch.setattr(
        archive, '_extract_in_process', lambda *_: make(PETS | {'cats/newer.jpg': b'newer'})
    )
    with pytest.raises(DataError, match=r'pets\.zip changed while it was read; start again$'):
        open_archive(make())


@pytest.mark.parametrize('kind', ['zip', 'tar.gz'])
def test_limits_the_unpacked_size(make, monkeypatch, tmp_path, kind):
    monkeypatch.setattr(archive, '_ALWAYS_ALLOWED', 1000)

    path = make(PETS | {'notes.txt': bytes(10**7)}, kind)
    with pytest.raises(DataError, match='unpacks to more than 200 times its size; it may be a dec'):
        list(archive.extract_archive(path, tmp_path / 'extracted' / '1'))
    assert not list(tmp_path.rglob('*.jpg'))


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (PETS | {'../../etc/cats/1.jpg': b''}, 'a name that leads out of it'),
        (PETS | {'/etc/cats/1.jpg': b''}, 'a name that leads out of it'),
        (below('span-0') | below('2026-11-21'), 'contains spans, which are only read from folders'),
        (PETS | {f'cats/{"x" * 300}.jpg': b''}, 'File name too long'),
        ({'cats.jpg': b'x', 'cats.jpg/a.jpg': b'x'}, 'File exists|Not a directory'),
    ],
)
def test_refuses_unusable_contents(make, kind, files, message, tmp_path):
    with pytest.raises(DataError, match=message) as raised:
        open_archive(make(files, kind))
    assert '\n' not in str(raised.value)
    assert not list(tmp_path.glob('*.jpg'))


@pytest.mark.parametrize('kind', ['zip', 'tar'])
@pytest.mark.parametrize('folder', ['PetImages', './a/b'])
def test_skips_folders_around_parts_and_ignores_litter(make, kind, folder):
    litter = ('__MACOSX/cats/._0.jpg', 'cats/.DS_Store', '.git/a.jpg', 'Thumbs.db', '__MACOSX/')
    files = below(f'{folder}/train') | below(f'{folder}/validation')
    images = images_of(make(files | dict.fromkeys((*litter, f'{folder}/notes.txt'), b''), kind))

    assert len(images) == 12
    assert {image.part for image in images.values()} == {'train', 'eval_and_test'}


@pytest.mark.parametrize('encoding', ['utf-8', 'cp1252'])
def test_names_in_zip_are_utf_8_with_or_without_its_flag(make, encoding):
    """As macOS and older programs on Windows write them."""
    path = make({'K__he\\1.jpg': b'1', 'Hunde/1.jpg': b'2'})  # as Windows divides folders
    name = 'Kühe'.encode(encoding).ljust(5, b'_')
    path.write_bytes(path.read_bytes().replace(b'K__he', name))

    if encoding == 'utf-8':
        assert open_archive(path).classes == ('Hunde', 'Kühe')
    else:
        with pytest.raises(DataError, match='is not UTF-8; extract it where it was packed'):
            open_archive(path)


def test_links_are_images_and_do_not_lead_out(make):
    links = {'same': 'cats/1.jpg', 'lost': 'cats/no.jpg', 'out': 'symbolic'}
    files = {f'dogs/{name}.jpg': target for name, target in links.items()}
    images = images_of(make(PETS | {'symbolic': Path('/etc/passwd')} | files, 'tar'))
    assert images['dogs/same.jpg'].contents == PETS['cats/1.jpg']
    assert images['dogs/lost.jpg'].contents == images['dogs/out.jpg'].contents == b''

    with pytest.raises(DataError, match='a name that leads out of it'):
        open_archive(make(PETS | {'dogs/same.jpg': '/etc/passwd'}, 'tar'))
    path = make()
    with zipfile.ZipFile(path, 'a') as target:
        link = zipfile.ZipInfo('cats/link.jpg')
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, '/etc/passwd')
    assert images_of(path)['cats/link.jpg'].contents == b'/etc/passwd'


@pytest.mark.parametrize('kind', FORMATS)
def test_refuses_truncated_archive(make, kind, cache):
    path = make(kind=kind)
    whole = path.read_bytes()

    for tenth in (1, 5):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(DataError, match='cannot be extracted'):
            open_archive(path)
    assert not list(cache.rglob('*.jpg'))


DIRECTORY = b'PK\x01\x02'  # of a zip


@pytest.mark.parametrize(
    ('kind', 'place', 'message'),
    [
        # not taken for the end
        ('tar', (b'dogs/0.jpg', 100, b'\xff'), 'no complete header at 4608'),
        ('zip', (DIRECTORY, 8, b'\1'), 'is encrypted, password required'),
        ('zip', (b'PK', 0, b'Rar!\x1a\x07\x00'), 'expected a complete zip'),
    ],
)  # fmt: skip
def test_refuses_damaged_encrypted_and_other_archives(make, kind, place, message):
    path = make(kind=kind)
    patch(path, *place)
    with pytest.raises(DataError, match=message):
        open_archive(path)


@pytest.mark.parametrize(
    ('place', 'problem'),
    [
        ((PETS['cats/0.jpg'][300:320], 0, b'\0'), 'Bad CRC-32'),
        ((DIRECTORY, 10, b'\x09'), 'compression method is not supported'),  # Deflate64
    ],
)
def test_damaged_or_unsupported_member_of_zip_is_an_empty_image(make, place, problem, caplog):
    path = make()
    patch(path, *place)

    images = {name: image.contents for name, image in images_of(path).items()}
    assert images == PETS | {'cats/0.jpg': b''}
    assert problem in caplog.text


def test_refuses_missing_file_and_an_unwritable_cache(make, tmp_path, cache):
    with pytest.raises(DataError, match=r'pets\.zip does not exist; give a file \(zip, tar'):
        open_archive(tmp_path / 'pets.zip')
    shutil.rmtree(cache, ignore_errors=True)
    cache.write_text('a file')
    with pytest.raises(DataError, match=r'pets\.zip cannot be extracted .*Not a directory'):
        open_archive(make())

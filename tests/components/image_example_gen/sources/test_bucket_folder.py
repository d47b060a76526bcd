"""Images below a prefix of a bucket, read with the real clients."""

import shutil

import pytest
import required

from common.errors import DataError, StorageError
from components.image_example_gen.sources.base import image_folder
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, every_image
from components.image_example_gen.sources.folder import FolderSource
from components.image_example_gen.sources.spans import open_older_spans, open_window

NAMES = [
    'train/cats/1.jpg',
    'train/cats/a/b/2 [x]*?.JPG',
    'train/dogs/é #%.png',
    'validation/cats/3.jpg',
    'validation/dogs/4.jpg',
    'train/cats/notes.txt',
    'train/cats/.hidden.jpg',
    'train/.hidden/5.jpg',
    'Thumbs.db',
]


def copy_to(bucket, folder, prefix='pets'):
    for path in folder.rglob('*'):
        if path.is_file():
            bucket.put(f'{prefix}/{path.relative_to(folder).as_posix()}', path.read_bytes())


def window(url, size, **keys):
    return open_window(DataConfig(source='folder', url=url, window=size, **keys))


def test_reads_the_same_images_as_a_local_folder(bucket, tmp_path):
    folder = tmp_path / 'pets'
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'image {number}')
    copy_to(bucket, folder)

    local, remote = FolderSource(folder), FolderSource(f'{bucket.url}/pets')

    assert (remote.count, remote.classes, remote.counts, remote.ignored) == (
        local.count,
        local.classes,
        local.counts,
        local.ignored,
    )
    assert list(every_image(remote)) == list(every_image(local))


def test_fingerprint_changes_with_contents_and_names(bucket):
    for name in ('cats/1.jpg', 'dogs/1.jpg'):
        bucket.put(f'pets/{name}', 'old')
    first = FolderSource(f'{bucket.url}/pets').fingerprint
    assert FolderSource(f'{bucket.url}/pets').fingerprint == first

    bucket.put('pets/dogs/1.jpg', 'new')  # of the same size
    second = FolderSource(f'{bucket.url}/pets').fingerprint
    bucket.put('pets/dogs/2.jpg', 'new')
    third = FolderSource(f'{bucket.url}/pets').fingerprint

    assert len({first, second, third}) == 3


def test_large_images_are_not_read(s3_bucket):
    s3_bucket.put('cats/1.jpg', 'x' * 11)
    s3_bucket.put('dogs/1.jpg', 'x' * 10)
    source = FolderSource(s3_bucket.url, max_bytes=10)
    s3_bucket.server.requests.clear()

    large, small = every_image(source)

    assert (large.filename, large.reason) == ('cats/1.jpg', 'too large')
    assert small.contents == b'x' * 10
    assert s3_bucket.server.requests == [('GET', f'/{s3_bucket.name}/dogs/1.jpg')]


def test_removed_image_is_unreadable(bucket):
    for name in ('cats/1.jpg', 'cats/2.jpg', 'dogs/1.jpg'):
        bucket.put(name, name)
    source = FolderSource(bucket.url)
    bucket.remove('cats/1.jpg')

    removed, *others = every_image(source)

    assert isinstance(removed, BadImage)
    assert (removed.filename, removed.reason) == ('cats/1.jpg', 'unreadable')
    assert [each.contents for each in others] == [b'cats/2.jpg', b'dogs/1.jpg']


def test_images_are_no_worse_for_a_service_that_fails(s3_bucket):
    """Such images are not quarantined: the run ends, and can be started again."""
    for name in ('cats/1.jpg', 'dogs/1.jpg'):
        s3_bucket.put(name)
    source = FolderSource(s3_bucket.url)
    s3_bucket.server.refuse = lambda method, path: path.endswith('.jpg')

    with pytest.raises(StorageError, match=r'access to s3://.* is denied'):
        list(every_image(source))


def test_reads_a_bounded_number_of_bytes_at_a_time(bucket, monkeypatch):
    for number in range(7):
        for name in ('cats', 'dogs'):
            bucket.put(f'{name}/{number}.jpg', f'{name} {number}')
    monkeypatch.setattr(image_folder, '_BATCH', 4)
    monkeypatch.setattr(image_folder, '_BATCH_BYTES', 13)
    source = FolderSource(bucket.url)

    images = list(every_image(source))

    batches = list(image_folder._batches([(each.filename, 6) for each in images], 10))
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 2]
    assert sorted(each.contents.decode() for each in images) == sorted(
        f'{name} {number}' for name in ('cats', 'dogs') for number in range(7)
    )


def test_object_without_a_folder_or_a_class_is_an_error(bucket):
    bucket.put('pets.zip', 'archive')
    with pytest.raises(DataError, match=r'pets.zip is an object; only folders of images are read'):
        FolderSource(f'{bucket.url}/pets.zip')
    bucket.put('one/cats/1.jpg')
    with pytest.raises(DataError, match=r'data folder .*/one has 1 class .cats.; expected two'):
        FolderSource(f'{bucket.url}/one')


@pytest.mark.parametrize('prefix', ['', '/', '/deliveries', '/deliveries/'])
def test_window_has_the_newest_spans(s3_bucket, prefix):
    for number in (1, 2, 10):
        for name in ('cats', 'dogs')[: number + 1]:
            s3_bucket.put(f'{prefix.strip("/")}/span-{number}/{name}/{number}.jpg'.lstrip('/'))
    config = {'source': 'folder', 'url': f'{s3_bucket.url}{prefix}'}

    newest = open_window(DataConfig(**config, window=2))
    assert [(span.number, span.source.count) for span in newest] == [(2, 2), (10, 2)]
    older = open_older_spans(DataConfig(**config, window=2), newest)
    assert [span.number for span in older] == [1]
    ranged = open_window(DataConfig(**config, span_range=(1, 2)))
    assert [span.number for span in ranged] == [1, 2]
    with pytest.raises(DataError, match=r'none of the spans 3 to 4 of data.span_range'):
        open_window(DataConfig(**config, span_range=(3, 4)))


def test_folders_next_to_spans_must_not_contain_images(bucket):
    for folder in ('span-1', 'span-2.partial', '_more'):
        for name in ('cats', 'dogs'):
            bucket.put(f'pets/{folder}/{name}/1.jpg')
    bucket.put('pets/notes/today.txt')
    assert [span.number for span in window(f'{bucket.url}/pets', 2)] == [1]

    bucket.put('pets/incoming/cats/1.jpg')
    with pytest.raises(DataError, match='images in incoming, which is not a span; move them'):
        window(f'{bucket.url}/pets', 2)


def test_missing_prefix_is_an_error_without_a_traceback(bucket):
    with pytest.raises(StorageError, match=f'{bucket.url}/typo does not exist'):
        window(f'{bucket.url}/typo', 1)


def test_ingests_the_same_records_as_a_local_folder(s3_bucket, tmp_path, make_image_folder):
    beam = required.package('apache_beam')
    from components.image_example_gen.ingestion.span import ingest_span

    folder = make_image_folder(tmp_path / 'pets', per_class=6)
    (folder / 'cats' / 'damaged.jpg').write_bytes(b'\xff\xd8\xff\xe0damaged')
    copy_to(s3_bucket, folder)
    results = []
    for place in (folder, f'{s3_bucket.url}/pets'):
        records = tmp_path / f'records-{len(results)}'
        quarantine = tmp_path / f'quarantine-{len(results)}'
        ingested = ingest_span(
            FolderSource(place), DataConfig(), [], records, quarantine, beam.Pipeline
        )
        files = {
            str(path.relative_to(records)): path.read_bytes()
            for path in sorted(records.glob('Split-*/*'))
        }
        results.append((ingested.counts, ingested.tally, files))
        shutil.rmtree(records)
    assert results[0] == results[1]
    assert sum(results[0][1].bad.values()) == 1


def test_failure_of_a_worker_may_be_tried_again(s3_bucket, tmp_path):
    beam = required.package('apache_beam')
    from components.image_example_gen.ingestion.span import ingest_span

    for name in ('cats/1.jpg', 'dogs/1.jpg'):
        s3_bucket.put(name)
    source = FolderSource(s3_bucket.url)
    s3_bucket.server.status = '501 Not Implemented'
    s3_bucket.server.refuse = lambda method, path: path.endswith('.jpg')

    with pytest.raises(StorageError, match=r's3://.* cannot be reached') as caught:
        ingest_span(source, DataConfig(), [], tmp_path / 'r', tmp_path / 'q', beam.Pipeline)
    assert caught.value.retryable

"""A cluster repeats the steps of a lost worker, which may still be running."""

import contextlib
import tempfile

import numpy as np
import pytest
from image_bytes import encoded
from made_images import CLASSES, MemoryShard, labelled, picture

from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.duplicates import DUPLICATE
from components.image_example_gen.ingestion.quarantine import merge_lists, read_quarantined
from components.image_example_gen.ingestion.records import read_records, record_files
from components.image_example_gen.ingestion.transforms import (
    SpanFolders,
    examine_shard,
    move_records,
)
from components.image_example_gen.sources.base.data_config import DataConfig

GOOD = [labelled(encoded(picture(seed=n)), f'{n}.jpg', n % 2) for n in range(6)]
BAD = [labelled(each.contents[:400], f'bad-{n}.jpg') for n, each in enumerate(GOOD)]


@pytest.fixture
def folders(tmp_path) -> SpanFolders:
    return SpanFolders(tmp_path / 'records', tmp_path / 'quarantine', 1, CLASSES, DataConfig())


class _Shard:
    """Calls a function after the first images."""

    def __init__(self, between):
        self.between = between

    def images(self):
        yield from [*GOOD[:3], *BAD[:3]]
        self.between()
        yield from [*GOOD[3:], *BAD[3:]]


def read_all(files) -> list[list[bytes]]:
    return [list(read_records([file])) for file in files]


def test_parallel_attempts_at_a_shard_write_equal_files(folders):
    examined = record_files(folders.examined, 0, 1)
    contents = []

    def another():
        examine_shard((0, MemoryShard((*GOOD[:3], *BAD[:3], *GOOD[3:], *BAD[3:]))), folders)
        contents.append(read_all(examined))

    examine_shard((0, _Shard(another)), folders)

    assert contents == [read_all(examined)]
    assert sum(map(len, contents[0])) == len(np.load(folders.index(0))) == len(GOOD)
    merge_lists(folders.quarantine, folders.room)
    listed = list(read_quarantined(folders.quarantine))
    assert [line['source'] for line in listed] == [image.filename for image in BAD]
    assert all((folders.quarantine / line['copy']).is_file() for line in listed)


@pytest.fixture
def assigned(folders):
    """Arguments of the second pass; one of the images is a duplicate."""
    examine_shard((0, MemoryShard(tuple(GOOD))), folders)
    splits = np.load(folders.index(0))['split'].astype(int)
    splits[0] = DUPLICATE
    return 0, splits, np.zeros(len(splits), int)


def test_parallel_attempts_at_moving_records_write_equal_files(folders, assigned, monkeypatch):
    records = record_files(folders.records, 0, 1)
    contents = []

    def interrupted(files):
        monkeypatch.undo()
        found = list(read_records(files))
        yield from found[:3]
        move_records(assigned, folders)
        contents.append(read_all(records))
        yield from found[3:]

    monkeypatch.setattr(transforms, 'read_records', interrupted)
    move_records(assigned, folders)

    assert contents == [read_all(records)]
    assert sum(map(len, contents[0])) == len(GOOD) - 1


def _never_removed(**options):
    return contextlib.nullcontext(tempfile.mkdtemp(**options))


def test_killed_attempt_leaves_nothing_to_read(folders, assigned, monkeypatch):
    def killed(files):
        yield from list(read_records(files))[:3]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(transforms, 'read_records', killed)
        patch.setattr(tempfile, 'TemporaryDirectory', _never_removed)
        with pytest.raises(KeyboardInterrupt):
            move_records(assigned, folders)
    assert list(folders.examined.glob('attempt-*/*'))
    assert not list(folders.records.glob('Split-*/*'))
    move_records(assigned, folders)

    assert sorted(folders.records.glob('Split-*/*')) == sorted(record_files(folders.records, 0, 1))
    assert not list(folders.quarantine.glob('*.partial'))

"""Atomic pushes, version numbers and retention."""

import concurrent.futures
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from common.errors import PushError
from components.pusher import model_files as files
from components.pusher import versions
from components.pusher.serving_folder import About, read_note, versions_in
from components.pusher.versions import Pushed, push, restore

REPOSITORY = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from components.pusher import model_files, versions
from components.pusher.serving_folder import About
model, serving, where = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if where == 'in the copy':
    model_files.flush = lambda path: die() if 'variables.data' in path.name else None
elif where == 'before the rename':
    versions.flush_folders = die
elif where == 'in the removal':
    versions.shutil.rmtree = die
else:
    versions._remove_older = die
versions.push(Path(model), Path(serving), keep=1, about=About())
"""


def make_model(folder: Path, weights: str, fingerprint: str = 'random') -> Path:
    for name, text in {
        'variables/variables.data-00000-of-00001': weights,
        'variables/variables.index': 'index',
        'saved_model.pb': 'graph',
        'fingerprint.pb': fingerprint,
        'assets.extra/classes.json': '["cats", "dogs"]',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.files_of(folder).items()}


def put(model: Path, serving: Path, keep: int = 5, **about: object) -> Pushed:
    return push(model, serving, keep=keep, about=About.model_validate(about), patience=5)


@pytest.fixture
def serving(tmp_path):
    return tmp_path / 'serving'


@pytest.fixture
def old(tmp_path):
    return make_model(tmp_path / 'old', 'old')


@pytest.fixture
def new(tmp_path):
    return make_model(tmp_path / 'new', 'new')


@pytest.fixture
def at_noon(monkeypatch):
    """The clock stands still."""
    monkeypatch.setattr(versions.time, 'time', lambda: 1_800_000_000.9)


def test_version_has_model_and_provenance(serving, new):
    pushed = put(new, serving, run='today', accuracy=0.9, spans=(1, 2))

    assert contents(pushed.folder) == contents(new)
    assert abs(pushed.version - time.time()) < 60
    note = read_note(pushed.folder)
    assert (note.version, note.about.run, note.about.spans) == (pushed.version, 'today', (1, 2))
    assert not pushed.unchanged


def test_permissions_follow_umask(serving, new):
    folder = put(new, serving).folder
    mask = os.umask(0)
    os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask
    assert (folder / 'saved_model.pb').stat().st_mode & 0o777 == 0o666 & ~mask


def test_numbers_rise_within_one_second(serving, old, new, at_noon):
    numbers = [put(model, serving).version for model in (old, new, old)]
    assert numbers == [1_800_000_000, 1_800_000_001, 1_800_000_002]


def test_never_reuses_number_of_deleted_version(serving, old, new, at_noon):
    put(old, serving)
    shutil.rmtree(put(new, serving).folder)

    assert put(new, serving).version == 1_800_000_002


def test_numbers_rise_above_existing_versions(serving, new):
    (serving / '5000000000').mkdir(parents=True)
    assert put(new, serving).version == 5_000_000_001


def test_ignores_other_files_in_serving_directory(serving):
    for name in ('7', '10', '²', 'notes', '.coming-1', '1' * 30):
        (serving / name).mkdir(parents=True)
    (serving / '11').write_text('a file')
    assert [path.name for path in versions_in(serving)] == ['7', '10']


def test_does_not_push_live_model_again(serving, old, tmp_path):
    first = put(old, serving)
    saved_again = make_model(tmp_path / 'again', 'old', fingerprint='another number')

    again = put(saved_again, serving)

    assert again == Pushed(first.version, first.folder, unchanged=True)
    assert len(versions_in(serving)) == 1


def test_pushes_earlier_model_again(serving, old, new):
    put(old, serving)
    put(new, serving)
    assert not put(old, serving).unchanged


def test_extra_files_are_part_of_version(serving, old, tmp_path):
    (tmp_path / 'int8.tflite').write_text('small')
    extra_files = {'int8.tflite': tmp_path / 'int8.tflite'}
    put(old, serving)

    pushed = push(old, serving, keep=5, about=About(), extra_files=extra_files)

    assert not pushed.unchanged
    assert (pushed.folder / 'assets.extra/int8.tflite').read_text() == 'small'
    assert push(old, serving, keep=5, about=About(), extra_files=extra_files).unchanged


def test_keeps_last_versions(serving, tmp_path):
    for number in range(4):
        put(make_model(tmp_path / f'{number}', f'weights {number}'), serving, keep=2)
    left = [
        contents(path)['variables/variables.data-00000-of-00001'] for path in versions_in(serving)
    ]
    assert left == [b'weights 2', b'weights 3']
    assert sorted(path.name for path in serving.glob('.*')) == [versions.HIGHEST, versions.LOCK]


def test_restores_version_under_new_number(serving, old, new):
    first, second = put(old, serving), put(new, serving)

    back = restore(
        first.folder, keep=5, about=About(manual_override='rollback', version=first.version)
    )

    assert back.version > second.version
    assert contents(back.folder) == contents(old)
    assert (back.folder / 'saved_model.pb').samefile(first.folder / 'saved_model.pb')
    assert read_note(back.folder).about.version == first.version
    assert read_note(first.folder).about.manual_override is None


def test_restores_version_without_hard_links(serving, old, new, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, 'Operation not permitted')

    first, _ = put(old, serving), put(new, serving)
    monkeypatch.setattr(Path, 'hardlink_to', refuse)
    assert contents(restore(first.folder, keep=5, about=About()).folder) == contents(old)


def test_rejects_model_without_graph(serving, new):
    (new / 'saved_model.pb').unlink()
    with pytest.raises(PushError, match=r'is not a SavedModel: saved_model\.pb is missing'):
        put(new, serving)


def test_rejects_copy_that_differs(serving, old, new, monkeypatch):
    before = put(old, serving)

    def garbled(source, target):
        is_graph = source.name == 'saved_model.pb'
        target.write_bytes(b'grapf' if is_graph else source.read_bytes())

    monkeypatch.setattr(files.shutil, 'copyfile', garbled)
    with pytest.raises(PushError, match=r'the copy of the model in .* differs from the model'):
        put(new, serving)
    assert_as_before(serving, before, old)


def assert_as_before(serving: Path, live: Pushed, model: Path) -> None:
    """Only this version is left, and no temporary files."""
    assert versions_in(serving) == [live.folder]
    assert contents(live.folder) == contents(model)
    assert {path.name for path in serving.glob('.*')} <= {versions.HIGHEST, versions.LOCK}


@pytest.mark.parametrize('where', ['in the copy', 'before the rename'])
def test_kill_before_rename_keeps_live_model(serving, old, new, where):
    before = put(old, serving)

    kill(new, serving, where)

    assert versions_in(serving) == [before.folder]
    assert contents(before.folder) == contents(old)
    after = put(new, serving, keep=1)
    assert_as_before(serving, after, new)


@pytest.mark.parametrize('where', ['after the rename', 'in the removal'])
def test_kill_after_rename_makes_new_model_live(serving, old, new, where):
    put(old, serving)

    kill(new, serving, where)

    live = versions_in(serving)[-1]
    assert contents(live) == contents(new)
    again = put(new, serving, keep=1)
    assert again == Pushed(int(live.name), live, unchanged=True)
    assert_as_before(serving, again, new)


def kill(model: Path, serving: Path, where: str) -> None:
    command = [sys.executable, '-c', KILLED, model, serving, where]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=60, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_keeps_partial_copies_while_locked(serving):
    (serving / '.coming-1').mkdir(parents=True)
    with (
        filelock.FileLock(serving / versions.LOCK),
        pytest.raises(PushError, match='holds the lock'),
    ):
        versions.remove_partial_copies(serving, patience=0)
    assert (serving / '.coming-1').is_dir()
    versions.remove_partial_copies(serving)
    assert not (serving / '.coming-1').exists()


def test_second_push_times_out(serving, new):
    serving.mkdir()
    sentence = f'another push to {re.escape(str(serving))} still holds the lock after 0.2 seconds'
    with filelock.FileLock(serving / versions.LOCK), pytest.raises(PushError, match=sentence):
        push(new, serving, keep=5, about=About(), patience=0.2)
    assert versions_in(serving) == []


def test_serializes_concurrent_pushes(serving, tmp_path):
    models = [make_model(tmp_path / f'{number}', f'weights {number}') for number in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        pushed = list(pool.map(lambda model: put(model, serving, keep=6), models))
    assert len({each.version for each in pushed}) == 6
    assert all(
        contents(each.folder) == contents(model) for each, model in zip(pushed, models, strict=True)
    )


@pytest.mark.parametrize(
    ('below', 'reason'), [('', 'it is not a folder'), ('models', 'Not a directory')]
)
def test_rejects_destination_that_is_or_is_below_a_file(serving, new, below, reason):
    serving.write_text('')
    with pytest.raises(PushError, match=f'cannot push to {serving / below}: {reason}$'):
        put(new, serving / below)


def test_file_size_limit_keeps_live_model(serving, old, new):
    before = put(old, serving)
    (new / 'variables/variables.data-00000-of-00001').write_bytes(b'x' * 200_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(PushError, match=f'cannot push to {serving}: File too large'):
            put(new, serving)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_as_before(serving, before, old)


@pytest.fixture
def small_disk(tmp_path):
    """File system of one megabyte."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]
    if not shutil.which('mount') or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip('this user may not mount a file system')
    yield folder
    subprocess.run(['umount', folder], check=True)


def test_full_disk_keeps_live_model(small_disk, old, new):
    before = put(old, small_disk)
    (new / 'variables/variables.data-00000-of-00001').write_bytes(b'x' * 2_000_000)
    with pytest.raises(PushError, match='No space left on device'):
        put(new, small_disk)
    assert_as_before(small_disk, before, old)


def test_read_only_disk_keeps_live_model(small_disk, old, new):
    before = put(old, small_disk)
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    with pytest.raises(PushError, match='Read-only file system'):
        put(new, small_disk)
    assert_as_before(small_disk, before, old)


def test_pushes_to_other_file_system(small_disk, new):
    assert new.stat().st_dev != small_disk.stat().st_dev
    assert contents(put(new, small_disk).folder) == contents(new)


def test_ignores_metadata_of_copied_folder(serving, new):
    pushed = put(new, serving, run='today')
    shutil.copytree(pushed.folder, serving / '9999999999')
    assert read_note(serving / '9999999999') is None


def test_ignores_invalid_metadata(serving, new):
    pushed = put(new, serving)
    (pushed.folder / 'assets.extra/push.json').write_text(json.dumps({'version': 'x'}))
    assert read_note(pushed.folder) is None

"""A version is live whole or not at all, under a number that was never used."""

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


def test_a_version_holds_the_model_and_where_it_comes_from(serving, new):
    pushed = put(new, serving, run='today', accuracy=0.9, spans=(1, 2))

    assert contents(pushed.folder) == contents(new)
    assert abs(pushed.version - time.time()) < 60
    note = read_note(pushed.folder)
    assert (note.version, note.about.run, note.about.spans) == (pushed.version, 'today', (1, 2))
    assert not pushed.unchanged


def test_a_model_server_of_another_user_may_read_it(serving, new):
    folder = put(new, serving).folder
    mask = os.umask(0)
    os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask
    assert (folder / 'saved_model.pb').stat().st_mode & 0o777 == 0o666 & ~mask


def test_numbers_rise_also_within_one_second(serving, old, new, at_noon):
    numbers = [put(model, serving).version for model in (old, new, old)]
    assert numbers == [1_800_000_000, 1_800_000_001, 1_800_000_002]


def test_a_number_is_not_used_again_when_its_version_was_deleted(serving, old, new, at_noon):
    put(old, serving)
    shutil.rmtree(put(new, serving).folder)

    assert put(new, serving).version == 1_800_000_002


def test_numbers_rise_above_those_that_others_have_used(serving, new):
    (serving / '5000000000').mkdir(parents=True)
    assert put(new, serving).version == 5_000_000_001


def test_what_is_no_number_is_no_version(serving):
    for name in ('7', '10', '²', 'notes', '.coming-1', '1' * 30):
        (serving / name).mkdir(parents=True)
    (serving / '11').write_text('a file')
    assert [path.name for path in versions_in(serving)] == ['7', '10']


def test_a_model_that_is_live_is_not_pushed_again(serving, old, tmp_path):
    first = put(old, serving)
    saved_again = make_model(tmp_path / 'again', 'old', fingerprint='another number')

    again = put(saved_again, serving)

    assert again == Pushed(first.version, first.folder, unchanged=True)
    assert len(versions_in(serving)) == 1


def test_a_model_that_was_live_once_is_pushed_again(serving, old, new):
    put(old, serving)
    put(new, serving)
    assert not put(old, serving).unchanged


def test_files_beside_the_model_are_part_of_the_version(serving, old, tmp_path):
    (tmp_path / 'int8.tflite').write_text('small')
    beside = {'int8.tflite': tmp_path / 'int8.tflite'}
    put(old, serving)

    pushed = push(old, serving, keep=5, about=About(), beside=beside)

    assert not pushed.unchanged
    assert (pushed.folder / 'assets.extra/int8.tflite').read_text() == 'small'
    assert push(old, serving, keep=5, about=About(), beside=beside).unchanged


def test_the_last_versions_stay(serving, tmp_path):
    for number in range(4):
        put(make_model(tmp_path / f'{number}', f'weights {number}'), serving, keep=2)
    left = [
        contents(path)['variables/variables.data-00000-of-00001'] for path in versions_in(serving)
    ]
    assert left == [b'weights 2', b'weights 3']
    assert sorted(path.name for path in serving.glob('.*')) == [versions.HIGHEST, versions.LOCK]


def test_an_earlier_version_comes_back_under_a_new_number(serving, old, new):
    first, second = put(old, serving), put(new, serving)

    back = restore(first.folder, keep=5, about=About(by_hand='rollback', version=first.version))

    assert back.version > second.version
    assert contents(back.folder) == contents(old)
    assert (back.folder / 'saved_model.pb').samefile(first.folder / 'saved_model.pb')
    assert read_note(back.folder).about.version == first.version
    assert read_note(first.folder).about.by_hand is None


def test_a_version_comes_back_where_no_links_are(serving, old, new, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, 'Operation not permitted')

    first, _ = put(old, serving), put(new, serving)
    monkeypatch.setattr(Path, 'hardlink_to', refuse)
    assert contents(restore(first.folder, keep=5, about=About()).folder) == contents(old)


def test_a_model_without_its_graph_is_not_pushed(serving, new):
    (new / 'saved_model.pb').unlink()
    with pytest.raises(PushError, match=r'is no whole model: saved_model\.pb is missing'):
        put(new, serving)


def test_a_copy_that_differs_is_not_pushed(serving, old, new, monkeypatch):
    before = put(old, serving)

    def garbled(source, target):
        is_graph = source.name == 'saved_model.pb'
        target.write_bytes(b'grapf' if is_graph else source.read_bytes())

    monkeypatch.setattr(files.shutil, 'copyfile', garbled)
    with pytest.raises(PushError, match=r'the copy of the model in .* differs from the model'):
        put(new, serving)
    assert_as_before(serving, before, old)


def assert_as_before(serving: Path, live: Pushed, model: Path) -> None:
    """No half version, no number more, and nothing left of the attempt."""
    assert versions_in(serving) == [live.folder]
    assert contents(live.folder) == contents(model)
    assert {path.name for path in serving.glob('.*')} <= {versions.HIGHEST, versions.LOCK}


@pytest.mark.parametrize('where', ['in the copy', 'before the rename'])
def test_killed_before_it_is_whole_the_live_model_stays(serving, old, new, where):
    before = put(old, serving)

    kill(new, serving, where)

    assert versions_in(serving) == [before.folder]
    assert contents(before.folder) == contents(old)
    after = put(new, serving, keep=1)
    assert_as_before(serving, after, new)


@pytest.mark.parametrize('where', ['after the rename', 'in the removal'])
def test_killed_after_it_is_whole_the_new_model_is_live(serving, old, new, where):
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


def test_half_copies_of_a_push_that_goes_on_are_not_removed(serving):
    (serving / '.coming-1').mkdir(parents=True)
    with filelock.FileLock(serving / versions.LOCK), pytest.raises(PushError, match='going on'):
        versions.remove_half_copies(serving, patience=0)
    assert (serving / '.coming-1').is_dir()
    versions.remove_half_copies(serving)
    assert not (serving / '.coming-1').exists()


def test_a_second_push_waits_and_gives_up_with_a_sentence(serving, new):
    serving.mkdir()
    sentence = f'another push to {re.escape(str(serving))} is going on, for more than 0.2 seconds'
    with filelock.FileLock(serving / versions.LOCK), pytest.raises(PushError, match=sentence):
        push(new, serving, keep=5, about=About(), patience=0.2)
    assert versions_in(serving) == []


def test_pushes_at_once_come_one_after_the_other(serving, tmp_path):
    models = [make_model(tmp_path / f'{number}', f'weights {number}') for number in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        pushed = list(pool.map(lambda model: put(model, serving, keep=6), models))
    assert len({each.version for each in pushed}) == 6
    assert all(
        contents(each.folder) == contents(model) for each, model in zip(pushed, models, strict=True)
    )


def test_a_destination_that_is_a_file_is_told(serving, new):
    serving.write_text('')
    with pytest.raises(PushError, match=f'nothing can be pushed to {serving}: it is no folder$'):
        put(new, serving)


def test_a_destination_below_a_file_is_told(serving, new):
    serving.write_text('')
    with pytest.raises(PushError, match=r'nothing can be pushed to .*: Not a directory$'):
        put(new, serving / 'models')


def test_files_that_may_not_grow_leave_nothing_half(serving, old, new):
    before = put(old, serving)
    (new / 'variables/variables.data-00000-of-00001').write_bytes(b'x' * 200_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(PushError, match=f'nothing can be pushed to {serving}: File too large'):
            put(new, serving)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_as_before(serving, before, old)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of a megabyte."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]
    if not shutil.which('mount') or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip('this user may not mount a small file system')
    yield folder
    subprocess.run(['umount', folder], check=True)


def test_a_full_destination_keeps_its_live_model(small_disk, old, new):
    before = put(old, small_disk)
    (new / 'variables/variables.data-00000-of-00001').write_bytes(b'x' * 2_000_000)
    sentence = f'nothing can be pushed to {small_disk}: No space left on device'
    with pytest.raises(PushError, match=sentence):
        put(new, small_disk)
    assert_as_before(small_disk, before, old)


def test_a_read_only_destination_keeps_its_live_model(small_disk, old, new):
    before = put(old, small_disk)
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    with pytest.raises(PushError, match=r'nothing can be pushed to .*: Read-only file system'):
        put(new, small_disk)
    assert_as_before(small_disk, before, old)


def test_a_destination_on_another_file_system_is_as_good(small_disk, new):
    assert new.stat().st_dev != small_disk.stat().st_dev
    assert contents(put(new, small_disk).folder) == contents(new)


def test_a_note_that_was_copied_with_its_folder_says_nothing(serving, new):
    pushed = put(new, serving, run='today')
    shutil.copytree(pushed.folder, serving / '9999999999')
    assert read_note(serving / '9999999999') is None


def test_a_note_that_cannot_be_read_says_nothing(serving, new):
    pushed = put(new, serving)
    (pushed.folder / 'assets.extra/push.json').write_text(json.dumps({'version': 'x'}))
    assert read_note(pushed.folder) is None

"""Atomic pushes, version numbers and retention; what is read from a serving folder."""

import concurrent.futures
import datetime
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Set
from pathlib import Path

import pytest

from common.errors import AlreadyRunning, ModelError, PushError
from common.files import locked
from common.storage import Folder
from components.pusher import versions
from components.pusher.serving_folder import (
    About,
    files_of,
    find_model,
    holds,
    live_classes,
    pushed_at,
    read_note,
    versions_in,
)
from components.pusher.versions import Pushed, push

REPOSITORY = Path(__file__).parents[3]
WEIGHTS = 'variables/variables.data-00000-of-00001'
KILLED = """
import os, signal, sys
from pathlib import Path
from common import storage
from components.pusher import versions
from components.pusher.serving_folder import About
model, serving, where = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if where == 'copy':
    storage.flush = lambda path: die() if 'variables.data' in path.name else None
elif where == 'rename':
    Path.rename = die
else:
    versions.shutil.rmtree = die
versions.push(Path(model), Path(serving), keep=1, about=About())
"""


def make_model(folder: Path, weights: str) -> Path:
    for name, text in {
        WEIGHTS: weights,
        'saved_model.pb': 'graph',
        'assets.extra/classes.json': '["cats", "dogs"]',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of(folder).items()}


def put(model: Path, serving: Path, keep: int = 5, **about: object) -> Pushed:
    return push(model, serving, keep=keep, about=About.model_validate(about))


def assert_only_version(
    serving: Path, version: Path, model: Path, unfinished: Set[str] = frozenset()
) -> None:
    """Only this version is left, and no temporary files except these."""
    assert versions_in(serving) == [version]
    assert contents(version) == contents(model)
    assert {path.name for path in serving.glob('.*')} == {versions.LOCK, *unfinished}


@pytest.fixture
def serving(tmp_path):
    return tmp_path / 'serving'


@pytest.fixture
def old(tmp_path):
    return make_model(tmp_path / 'old', 'old')


@pytest.fixture
def new(tmp_path):
    return make_model(tmp_path / 'new', 'new')


def test_version_has_model_and_provenance(serving, new):
    start = int(time.time())
    pushed = put(new, serving, recipe='pets', accuracy=0.9, spans=(1, 2))

    number = int(pushed.folder.name)
    assert contents(pushed.folder) == contents(new)
    assert start <= number <= time.time()
    note = read_note(pushed.folder)
    assert (note.version, note.about.recipe, note.about.spans) == (number, 'pets', (1, 2))


def test_numbers_rise_within_one_second_and_above_other_versions(serving, old, new, monkeypatch):
    monkeypatch.setattr(versions.time, 'time', lambda: 1_800_000_000.9)
    numbers = [put(model, serving).folder.name for model in (old, new)]
    assert numbers == ['1800000000', '1800000001']
    (serving / '5000000000').mkdir()
    assert put(old, serving).folder.name == '5000000001'


def test_ignores_other_files_in_serving_directory(serving):
    for name in ('7', '10', '²', 'notes', '.coming-1', '1' * 30):
        (serving / name).mkdir(parents=True)
    (serving / '11').write_text('a file')
    assert [path.name for path in versions_in(serving)] == ['7', '10']


def test_extra_files_are_part_of_version(serving, old, tmp_path):
    (tmp_path / 'int8.tflite').write_text('small')
    extra_files = {'int8.tflite': tmp_path / 'int8.tflite'}
    put(old, serving)

    pushed, again = (
        push(old, serving, keep=5, about=About(), extra_files=extra_files) for _ in range(2)
    )

    assert (pushed.unchanged, again.unchanged) == (False, True)
    assert (pushed.folder / 'assets.extra/int8.tflite').read_text() == 'small'


def test_keeps_last_versions_and_does_not_push_live_model_again(serving, tmp_path):
    for number in range(4):
        model = make_model(tmp_path / f'{number}', f'weights {number}')
        live = put(model, serving, keep=2).folder
    assert put(model, serving) == Pushed(live, unchanged=True)
    left = [(path / WEIGHTS).read_text() for path in versions_in(serving)]
    assert left == ['weights 2', 'weights 3']
    assert [path.name for path in serving.glob('.*')] == [versions.LOCK]


def test_keeps_the_reference_of_the_live_version(serving, tmp_path):
    first = put(make_model(tmp_path / '0', 'weights 0'), serving).folder
    about = About(reference=int(first.name))
    for number in (1, 2, 3):
        push(make_model(tmp_path / f'{number}', f'weights {number}'), serving, keep=2, about=about)
    left = [(path / WEIGHTS).read_text() for path in versions_in(serving)]
    assert left == ['weights 0', 'weights 2', 'weights 3']
    put(make_model(tmp_path / '4', 'weights 4'), serving, keep=2)
    assert len(versions_in(serving)) == 2


def test_version_that_cannot_be_removed_is_a_warning_and_the_others_are_removed(
    serving, tmp_path, monkeypatch, caplog
):
    models = [make_model(tmp_path / f'{number}', f'weights {number}') for number in range(4)]
    first, *_ = [put(model, serving).folder for model in models[:3]]
    remove = shutil.rmtree

    def refuse(folder, **keys):
        if folder.name.endswith(first.name):
            raise PermissionError(13, 'Permission denied')
        remove(folder, **keys)

    with monkeypatch.context() as patch:
        patch.setattr(versions.shutil, 'rmtree', refuse)
        live = put(models[3], serving, keep=1).folder
    assert f'{first.name} cannot be removed: [Errno 13] Permission denied' in caplog.text
    assert_only_version(serving, live, models[3], {f'.going-{first.name}'})
    put(models[3], serving, keep=1)
    assert_only_version(serving, live, models[3])


def test_highest_possible_number_is_an_error(serving, new):
    highest = '9' * 18
    (serving / highest).mkdir(parents=True)
    with pytest.raises(PushError, match=f'than {highest}; remove this folder from {serving}'):
        put(new, serving)
    assert [path.name for path in versions_in(serving)] == [highest]


def test_rejects_model_without_graph(serving, new):
    (new / 'saved_model.pb').unlink()
    with pytest.raises(PushError, match=r'is not a SavedModel: saved_model\.pb is missing'):
        put(new, serving)


@pytest.mark.parametrize('name', ['saved_model.pb', WEIGHTS])
def test_rejects_copy_that_differs(serving, old, new, monkeypatch, name):
    before = put(old, serving)
    write = Folder.write

    def write_damaged(folder, file, contents, **keys):
        write(folder, file, contents[1:] if file.endswith(name) else contents, **keys)

    monkeypatch.setattr(Folder, 'write', write_damaged)
    with pytest.raises(PushError, match=f'the copy of {name} differs from the model'):
        put(new, serving)
    assert_only_version(serving, before.folder, old)


@pytest.mark.parametrize(
    ('where', 'live'), [('copy', 'old'), ('rename', 'old'), ('removal', 'new')]
)
def test_killed_push_leaves_complete_live_version(serving, old, new, tmp_path, where, live):
    put(old, serving)

    command = [sys.executable, '-c', KILLED, new, serving, where]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert contents(versions_in(serving)[-1]) == contents(tmp_path / live)
    unfinished = {path.name for path in serving.glob('.coming-*')}
    assert len(unfinished) == (live == 'old')
    again = put(new, serving, keep=1)
    assert again.unchanged == (live == 'new')
    # Another push may be writing it.
    assert_only_version(serving, again.folder, new, unfinished)


def test_second_push_times_out(serving, new, monkeypatch):
    monkeypatch.setattr(versions, '_PATIENCE', 0.1)
    serving.mkdir()
    sentence = f'another push to {re.escape(str(serving))} still holds the lock after 0.1 seconds'
    with (
        locked(serving / versions.LOCK, AlreadyRunning()),
        pytest.raises(PushError, match=sentence),
    ):
        put(new, serving)
    assert versions_in(serving) == []


def test_serializes_concurrent_pushes(serving, tmp_path):
    models = [make_model(tmp_path / f'{number}', f'weights {number}') for number in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        pushed = list(pool.map(lambda model: put(model, serving), models))
    assert {each.folder for each in pushed} == set(versions_in(serving))
    assert [contents(each.folder) for each in pushed] == [contents(model) for model in models]


@pytest.mark.parametrize(
    ('below', 'reason'), [('', 'it is not a folder'), ('models', 'Not a directory')]
)
def test_rejects_destination_that_is_or_is_below_a_file(serving, new, below, reason):
    serving.write_text('')
    with pytest.raises(PushError, match=f'cannot push to {serving / below}: {reason}$'):
        put(new, serving / below)


def test_full_disk_keeps_live_model(serving, old, new):
    before = put(old, serving)
    (new / WEIGHTS).write_bytes(b'x' * 200_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(PushError, match=f'cannot push to {serving}: File too large'):
            put(new, serving)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_only_version(serving, before.folder, old)


def test_ignores_metadata_of_another_version(serving, new):
    pushed = put(new, serving)
    copied = Path(shutil.copytree(pushed.folder, serving / '9999999999'))
    assert read_note(copied) is None


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'version': 'x'}, r'version: Input should be a valid integer'),
        ({'pushed': '2026-01-01T00:00:00'}, r'pushed: Input should have timezone info'),
        ({'pushed': '9999-12-31T23:59:59Z'}, r'pushed: Input should be less than'),
        ({'about': {'model': 'ftp://bucket/x'}}, r'about\.model: .* is neither a local folder'),
        ({'about': []}, r'about: Input should be'),
    ],
    ids=repr,
)
def test_reports_damaged_metadata(serving, new, changes, words):
    file = put(new, serving).folder / 'assets.extra/push.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    with pytest.raises(
        ModelError, match=rf'^{file} is damaged \({words}.*\); restore it, or remove'
    ):
        read_note(file.parents[1])


def test_empty_folder_hides_no_classes(serving, old):
    put(old, serving)
    (serving / '5000000000').mkdir()
    assert live_classes(serving) == ('cats', 'dogs')
    assert live_classes(serving / 'other') is None


def test_copied_version_was_pushed_when_it_was_copied(serving, old):
    shutil.copytree(old, serving / '7')
    os.utime(serving / '7', (1e9, 1e9))
    assert pushed_at(serving / '7') == datetime.datetime.fromtimestamp(1e9, datetime.timezone.utc)


def test_finds_live_version_another_one_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serving = tmp_path / 'serving'
    with pytest.raises(ModelError, match=r'no model is live in .*; run the recipe until one is'):
        find_model(serving, None)
    for name in ('9', '10', '2', '11.partial'):
        (serving / name).mkdir(parents=True)

    assert find_model(serving, None) == serving / '10'
    assert find_model(serving, '2') == serving / '2'
    assert find_model(serving, str(tmp_path)) == tmp_path
    for wanted in ('', '7'):
        with pytest.raises(ModelError, match=rf"'{wanted}' is neither a folder .*: 2, 9, 10"):
            find_model(serving, wanted)


@pytest.mark.parametrize('name', ['saved_model.pb', WEIGHTS])
def test_version_holds_only_the_same_graph_and_weights(serving, old, name):
    version = put(old, serving).folder
    assert holds(version, old)
    (old / name).write_text('other')
    assert not holds(version, old)

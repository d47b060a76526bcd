import contextlib
import errno
import fcntl
import os
from pathlib import Path

import pytest

from common.errors import AlreadyRunning
from common.files import (
    is_locked,
    locked,
    replacing,
    share_folders,
    write_atomically,
)


def test_failed_write_keeps_old_file(tmp_path):
    file = tmp_path / 'page.html'
    file.write_text('before')

    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, 'half' * 9999 + '\udce9')

    assert [each.read_text() for each in tmp_path.iterdir()] == ['before']


def test_replaces_neither_folders_nor_pipes(tmp_path):
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'pipe')

    for name in ('folder', 'pipe'):
        with pytest.raises(OSError, match='not a regular file'):
            write_atomically(tmp_path / name, 'text')

    assert (tmp_path / 'pipe').is_fifo()
    assert {each.name for each in tmp_path.iterdir()} == {'folder', 'pipe'}


def test_lock_is_held_by_one_process_at_a_time(tmp_path):
    file, held = tmp_path / 'lock', AlreadyRunning('held')

    with locked(file, held):
        assert is_locked(file)
        with pytest.raises(AlreadyRunning, match='held'), locked(file, held, patience=0.1):
            pass

    assert not is_locked(file)
    with locked(file, held):
        pass


@pytest.mark.parametrize('code', [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_file_system_without_locks_is_an_error_with_its_reason(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, 'flock', flock)
    file = tmp_path / 'lock'

    with pytest.raises(OSError, match=os.strerror(code)) as error, locked(file, AlreadyRunning()):
        pass

    assert 'its file system has no locks' in error.value.strerror
    assert error.value.filename == str(file)
    assert not is_locked(file)


def test_folders_get_the_mode_of_their_root(tmp_path):
    root, other = tmp_path / 'runs', tmp_path / 'other'
    for folder in (other, root, root / 'a', root / 'a' / 'b'):
        folder.mkdir(mode=0o700)
    (root / 'link').symlink_to(other)
    root.chmod(0o775)

    share_folders(root)

    modes = [each.stat().st_mode & 0o777 for each in (root / 'a', root / 'a' / 'b', other)]
    assert modes == [0o775, 0o775, 0o700]


@pytest.mark.parametrize('code', [errno.EPERM, errno.EOPNOTSUPP])
def test_new_file_replaces_none_without_hard_links(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, 'no hard links')

    monkeypatch.setattr(Path, 'hardlink_to', refuse)
    for text in ('first', 'second'):
        with (
            contextlib.nullcontext() if text == 'first' else pytest.raises(FileExistsError),
            replacing(tmp_path / 'page.html', create=True) as partial,
        ):
            partial.write_text(text)

    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {'page.html': 'first'}

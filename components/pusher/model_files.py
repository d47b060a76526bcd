"""Files of a model: what they hold, and copies of them that are safely on the disk."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from common.files import flush, sha256_of
from components.pusher.serving_folder import NOTE_FILE

GRAPH = 'saved_model.pb'  # the one file that every SavedModel has


def files_of(model: Path) -> dict[str, Path]:
    """All files of a model, without what was noted of an earlier push, by their relative paths."""
    return {
        path.relative_to(model).as_posix(): path
        for path in sorted(model.rglob('*'))
        if path.is_file() and path != model / NOTE_FILE
    }


def digests_of(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of files, by the same names."""
    return {name: sha256_of(path) for name, path in sorted(files.items())}


def digest_of(digests: Mapping[str, str]) -> str:
    """One for all files of a model, from those of each."""
    lines = [f'{name} {digest}\n' for name, digest in sorted(digests.items())]
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copies files to their places in a folder, the graph last."""
    for name, source in sorted(files.items(), key=lambda each: (each[0] == GRAPH, each[0])):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        flush(target)


def link(files: Mapping[str, Path], folder: Path) -> None:
    """The same without a copy, where the file system can: a version is never written to."""
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:  # such as NFS or FAT, which know no links, or too many of them
            copy({name: source}, folder)


def flush_folders(folder: Path) -> None:
    """Waits until the names in a folder and in all below are on the disk."""
    folders: Iterable[Path] = (path for path in folder.rglob('*') if path.is_dir())
    for each in (*folders, folder):
        flush(each)

"""Digests and durable copies of model files."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from common.files import flush, sha256_of
from components.pusher.serving_folder import NOTE_FILE

GRAPH = 'saved_model.pb'  # present in every SavedModel


def files_of(model: Path) -> dict[str, Path]:
    """Files of a model by relative path, without the note of an earlier push."""
    return {
        path.relative_to(model).as_posix(): path
        for path in sorted(model.rglob('*'))
        if path.is_file() and path != model / NOTE_FILE
    }


def digests_of(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 digests by name."""
    return {name: sha256_of(path) for name, path in sorted(files.items())}


def digest_of(digests: Mapping[str, str]) -> str:
    """Digest of all files of a model."""
    lines = [f'{name} {digest}\n' for name, digest in sorted(digests.items())]
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copies files into a folder, the graph last."""
    for name, source in sorted(files.items(), key=lambda each: (each[0] == GRAPH, each[0])):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        flush(target)


def link(files: Mapping[str, Path], folder: Path) -> None:
    """Hard-links files into a folder, or copies them if that fails; versions are immutable."""
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:  # no hard links, as on NFS or FAT, or too many
            copy({name: source}, folder)


def flush_folders(folder: Path) -> None:
    """Calls fsync on a folder and its subfolders."""
    folders: Iterable[Path] = (path for path in folder.rglob('*') if path.is_dir())
    for each in (*folders, folder):
        flush(each)

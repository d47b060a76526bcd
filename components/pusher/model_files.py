"""Digests and durable copies of model files."""

import shutil
from collections.abc import Mapping
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
    return {name: sha256_of(path) for name, path in files.items()}


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copies files into a folder, the graph last."""
    for name, source in sorted(files.items(), key=lambda each: (each[0] == GRAPH, each[0])):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        flush(target)


def flush_folders(folder: Path) -> None:
    """Calls fsync on a folder and its subfolders."""
    for each in (folder, *folder.rglob('*')):
        if each.is_dir():
            flush(each)

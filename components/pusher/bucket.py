"""A serving folder in object storage, or a copy of one there.

As in a serving folder, the highest version with a note is live. Object storage cannot rename a
folder, and TensorFlow Serving takes every number below its base path for a version as soon as one
object of it exists (`file_system_storage_path_source.cc`). So it is given `serving.config`, for its
option `--model_config_file`: one object, replaced atomically, that names the live version.
"""

import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from common.errors import PushError
from common.mirror import uri_of
from common.storage import storage_of
from components.pusher.serving_folder import (
    NOTE_FILE,
    files_of,
    numbers_in,
    versions_in,
    write_version,
)

POINTER = 'serving.config'
_CONFIG = """model_config_list {{
  config {{
    name: "{recipe}"
    base_path: "{url}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {number} }} }}
  }}
}}
"""
_NUMBER = re.compile(rb'versions: ([0-9]{1,18}) ')
_FIRST_START = 10**9  # seconds; lower numbers were not given by a push
_OLD = 7 * 86_400  # seconds; no upload takes so long


def served_version(bucket: Path) -> int | None:
    """The version that `serving.config` names; None if nothing was uploaded yet.

    Raises StorageError.
    """
    storage = storage_of(bucket)
    if POINTER not in storage.names(POINTER):
        return None
    found = _NUMBER.search(storage.read(POINTER))
    return int(found[1]) if found else None


def serves(bucket: Path, version: Path) -> bool:
    """Whether this version is the served one, and the bucket has all of its files."""
    names = {f'{version.name}/{name}' for name in (*files_of(version), NOTE_FILE)}
    return served_version(bucket) == int(version.name) and names <= {*storage_of(bucket).names()}


def upload(
    version: Path, files: Mapping[str, Path], note: bytes, recipe: str, known: Collection[Path]
) -> None:
    """Uploads a version, and makes it the served one.

    After an error, or if the process is killed, the one before is served; `unfinished` lists what
    is left of this one later, unless its note was written. `known` are the versions before it.

    Raises:
        PushError: the uploaded files differ, another host has taken the number, or has completed a
            version that is not known, so that this one was not compared with it.
    """
    bucket, storage = version.parent, storage_of(version.parent)
    try:
        write_version(storage, version.name, files, note)
    except FileExistsError:
        raise PushError(f'another push writes {uri_of(version)}; push again') from None
    if others := [each for each in versions_in(bucket) if each not in (version, *known)]:
        storage.remove(f'{version.name}/{NOTE_FILE}')
        _serve_newest(bucket, recipe)
        raise PushError(
            f'version {others[-1].name} went live meanwhile; nothing is pushed: push again'
        )
    _serve_newest(bucket, recipe)


def unfinished(bucket: Path) -> list[Path]:
    """Versions without a note that failed pushes left more than a week ago."""
    # The number is the time of the start.
    old = (each for each in numbers_in(bucket) if _FIRST_START <= each < time.time() - _OLD)
    complete = versions_in(bucket)
    return [each for each in (bucket / str(number) for number in old) if each not in complete]


def _serve_newest(bucket: Path, recipe: str) -> None:
    """Writes `serving.config`, again if another host wrote an older version meanwhile."""
    storage = storage_of(bucket)
    while complete := versions_in(bucket):
        newest = int(complete[-1].name)
        if served_version(bucket) == newest:
            return
        config = _CONFIG.format(recipe=recipe, url=uri_of(bucket), number=newest)
        storage.write(POINTER, config.encode())
    if POINTER in storage.names(POINTER):  # of two first pushes at once, which both failed
        storage.remove(POINTER)

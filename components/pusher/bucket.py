"""Uploads versions to object storage, and reads which one is served there.

As in a serving folder, the highest version with a note is live. Object storage cannot rename a
folder, and TensorFlow Serving takes every number below its base path for a version as soon as one
object of it exists (`file_system_storage_path_source.cc`). So it is given `serving.config`, for its
option `--model_config_file`: one object, replaced atomically, that names the live version.
"""

import contextlib
import dataclasses
import logging
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from common.errors import PushError, StorageError
from common.storage import Bucket
from components.pusher.serving_folder import (
    NOTE_FILE,
    VERSION,
    Note,
    create_version,
    files_of,
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
_PARSED = re.compile(r'name: "([^"]*)".*versions: ([0-9]{1,18}) ', re.DOTALL)
_FIRST_START = 10**9  # seconds; lower numbers were not given by a push
_OLD = 7 * 86_400  # seconds; no upload takes so long
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ServingBucket:
    """A prefix of object storage with the versions of one recipe.

    Its methods raise StorageError if the bucket cannot be read or written.
    """

    url: str  # s3://BUCKET/PREFIX or gs://BUCKET/PREFIX
    recipe: str  # name of the model in `serving.config`

    def served_version(self) -> int | None:
        """The version that `serving.config` names; None if nothing was uploaded yet."""
        return self._served()[1]

    def newer_than(self, version: Path) -> int | None:
        """The served version if its number is higher, as of another host; else None."""
        served = self.served_version()
        return served if served is not None and served > int(version.name) else None

    def numbers(self) -> list[int]:
        """The numbers of all versions, also of incomplete ones, in ascending order."""
        folders = {name.partition('/')[0] for name in self._storage.names()}
        return sorted(int(folder) for folder in folders if VERSION.fullmatch(folder))

    def serves(self, version: Path) -> bool:
        """Whether this version is the served one, and the bucket has all of its files."""
        names = {f'{version.name}/{name}' for name in (*files_of(version), NOTE_FILE)}
        return self.served_version() == int(version.name) and names <= {*self._storage.names()}

    @contextlib.contextmanager
    def uploaded(self, number: int, files: Mapping[str, Path], note: bytes) -> Iterator[None]:
        """Uploads a version, and makes it the served one.

        After an error, also in the block, the version is removed, and the one before is served.

        Raises:
            PushError: the uploaded files differ, the bucket has versions of another recipe, or
                another host has taken the number.
        """
        owner, _ = self._served()
        if owner not in (None, self.recipe):
            raise PushError(
                f'the versions in {self.url} are of the recipe {owner}, not of {self.recipe}; set '
                'another push.url'
            )
        try:
            create_version(self._storage, str(number), files)
        except FileExistsError:
            raise PushError(f'another push writes {self.url}/{number}; push again') from None
        try:
            write_version(self._storage, str(number), files, note)
            self._serve_newest()
            yield
        except BaseException:  # also Ctrl-C
            with contextlib.suppress(StorageError):  # keep the first error
                self._withdraw(number)
            raise

    def remove_older(self, keep: int) -> None:
        """Removes the versions before the newest `keep`, and what killed uploads left last week.

        The reference of the newest version stays. Logs a warning if they cannot be removed: the new
        version is live.
        """
        try:
            complete = self._complete()
            unfinished = {*self.numbers()} - {*complete}
            # The number is the time of the start.
            old = [each for each in unfinished if _FIRST_START <= each < time.time() - _OLD]
            older = complete[:-keep]
            reference = self._reference_of(complete[-1]) if older else None
            for number in (*(each for each in older if each != reference), *old):
                self._storage.remove(str(number))
        except (StorageError, ValidationError) as error:
            _log.warning('old versions cannot be removed: %s', error)

    @property
    def _storage(self) -> Bucket:
        return Bucket(self.url)

    def _complete(self) -> list[int]:
        """The versions with a note, which is written last, in ascending order."""
        parts = (name.partition('/') for name in self._storage.names())
        folders = (folder for folder, _, name in parts if name == NOTE_FILE)
        return sorted(int(folder) for folder in folders if VERSION.fullmatch(folder))

    def _reference_of(self, number: int) -> int | None:
        note = self._storage.read(f'{number}/{NOTE_FILE}')
        return Note.model_validate_json(note).about.reference

    def _serve_newest(self) -> None:
        """Writes `serving.config`, again if another host wrote an older version meanwhile."""
        while complete := self._complete():
            newest = complete[-1]
            if self.served_version() == newest:
                return
            config = _CONFIG.format(recipe=self.recipe, url=self.url, number=newest)
            self._storage.write(POINTER, config.encode())

    def _withdraw(self, number: int) -> None:
        """Removes a version; first its note, so that no host serves it again."""
        note = f'{number}/{NOTE_FILE}'
        if note in self._storage.names(str(number)):
            self._storage.remove(note)
        self._serve_newest()
        if self.served_version() == number:  # it was the only one
            self._storage.remove(POINTER)
        self._storage.remove(str(number))

    def _served(self) -> tuple[str | None, int | None]:
        """Recipe and version in `serving.config`."""
        if POINTER not in self._storage.names():
            return None, None
        found = _PARSED.search(self._storage.read(POINTER).decode(errors='replace'))
        return (found[1], int(found[2])) if found else (None, None)

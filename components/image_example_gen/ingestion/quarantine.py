"""The quarantine: a list of the images that cannot be used, and copies up to a size limit."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfx.types import Artifact

from components.image_example_gen.sources.base.source_protocol import BadImage

LIST = 'quarantined.jsonl'
_COPIES = 'copies'
_OWNER_ONLY = 0o600  # file mode


class Quarantine(Artifact):
    """The images of a run that cannot be used, in a folder `span-N` for each span.

    Each line of `quarantined.jsonl` in it has the origin of an image (`source`), the `reason`, a
    `detail` in one clause, the length in `bytes`, the `sha256`, and the path of the `copy` or null.
    Only the owner can read the copies.
    """

    TYPE_NAME = 'catdog.Quarantine'


class QuarantineWriter:
    """Lists the bad images of one shard in `NAME.jsonl`; copies them up to `room` bytes."""

    def __init__(self, directory: Path, name: str, room: float) -> None:
        self._directory, self._name, self._room = directory, name, room
        self._count = 0

    def __enter__(self) -> 'QuarantineWriter':
        (self._directory / _COPIES).mkdir(parents=True, exist_ok=True)
        self._list = (self._directory / f'{self._name}.jsonl').open('w')
        return self

    def add(self, bad: BadImage) -> None:
        """Writes a line, and a copy if there is room."""
        line: dict[str, Any] = {
            'source': bad.filename.encode(errors='surrogateescape').decode(errors='replace'),
            'reason': bad.reason,
            'detail': bad.detail,
            'bytes': len(bad.contents),
            'sha256': hashlib.sha256(bad.contents).hexdigest() if bad.contents else None,
            'copy': None,
        }
        if bad.contents and len(bad.contents) <= self._room:
            self._room -= len(bad.contents)
            basename = re.sub(r'[^A-Za-z0-9._-]', '_', Path(bad.filename).name)[-80:]
            line['copy'] = f'{_COPIES}/{self._name}-{self._count:05d}-{basename}'
            copy = self._directory / line['copy']
            copy.touch(_OWNER_ONLY)  # the original, perhaps behind a link, may be private
            copy.write_bytes(bad.contents)
        self._list.write(json.dumps(line) + '\n')
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._list.close()


def merge_lists(directory: Path, room: float) -> None:
    """Merges the lists of all shards in order; removes copies beyond `room` bytes."""
    parts = sorted(directory.glob('shard-*.jsonl'), key=lambda part: part.stem)
    with (directory / LIST).open('w') as merged:
        for line in (json.loads(line) for part in parts for line in part.read_text().splitlines()):
            if line['copy'] and (room := room - line['bytes']) < 0:
                (directory / line['copy']).unlink()
                line['copy'] = None
            merged.write(json.dumps(line) + '\n')
    for part in parts:
        part.unlink()


def read_quarantined(directory: Path) -> Iterator[dict[str, Any]]:
    """Reads the list of a span."""
    with (directory / LIST).open() as lines:
        yield from map(json.loads, lines)

"""The quarantine: a list of the images that cannot be used, and copies up to a size limit."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
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


class QuarantineWriter(AbstractContextManager['QuarantineWriter']):
    """Lists bad images in a folder, with copies of up to `room` bytes; counts them by reason."""

    def __init__(self, folder: Path, room: float) -> None:
        (folder / _COPIES).mkdir(parents=True, exist_ok=True)
        self.reasons: Counter[str] = Counter()
        self._folder, self._room = folder, room
        self._list = (folder / LIST).open('w')

    def __exit__(self, *_: object) -> None:
        self._list.close()

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
            line['copy'] = f'{_COPIES}/{self.reasons.total():05d}-{basename}'
            copy = self._folder / line['copy']
            copy.touch(_OWNER_ONLY)  # the original, perhaps behind a link, may be private
            copy.write_bytes(bad.contents)
        self._list.write(json.dumps(line) + '\n')
        self.reasons[bad.reason] += 1


def read_quarantined(folder: Path) -> Iterator[dict[str, Any]]:
    """Reads the list of a folder."""
    with (folder / LIST).open() as lines:
        yield from map(json.loads, lines)

"""The quarantine: a list of the images that cannot be used."""

import json
from collections.abc import Iterator
from pathlib import Path

from tfx.types import Artifact

from components.image_example_gen.sources.base.source import BadImage

LIST = 'quarantined.jsonl'


class Quarantine(Artifact):
    """The images of a run that cannot be used, in a folder `span-N` for each span.

    Each line of `quarantined.jsonl` in it has the origin of an image (`source`), the `reason`, and
    a `detail` in one clause.
    """

    TYPE_NAME = 'catdog.Quarantine'


def line_of(bad: BadImage) -> str:
    """The line of an image, with its end."""
    source = bad.filename.encode(errors='surrogateescape').decode(errors='replace')
    return json.dumps({'source': source, 'reason': bad.reason, 'detail': bad.detail}) + '\n'


def read_quarantined(folder: Path) -> Iterator[dict[str, str]]:
    """Reads the list of a folder."""
    with (folder / LIST).open() as lines:
        yield from map(json.loads, lines)

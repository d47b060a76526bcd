"""The results of ingestions on disk: counts, fingerprints, and runs. Imports no TensorFlow."""

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.artifacts import artifacts_in
from common.features import INDEX, MANIFEST
from common.mirror import uri_of
from common.storage import fetch
from common.strict_model import StrictModel
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import Source

FORMAT = 12  # version of the files of a span; a new number ingests everything again
_FILES = 'files.json'  # of a source of files: size, stamp and SHA-256 of each, by name
RUN = 'run.json'

Counts = dict[str, dict[str, int]]  # images by split and class
Fingerprints = dict[int, str]  # of the images, by span


@dataclasses.dataclass(frozen=True)
class Tally:
    """Numbers of images, of one span or of several."""

    seen: int = 0
    bad: dict[str, int] = dataclasses.field(default_factory=dict)  # quarantined, by reason
    duplicates: int = 0  # skipped: the same bytes and label as another image of the span
    between: int = 0  # skipped: near-duplicates, or their group, in two splits that are given
    repeated: int = 0  # used, and with the same bytes as an image of another span
    ungrouped: int = 0  # used, and without a group although `data.group_by` is set

    @property
    def used(self) -> int:
        """Number of images in a split."""
        return self.seen - sum(self.bad.values()) - self.duplicates - self.between

    def __add__(self, other: 'Tally') -> 'Tally':
        numbers = (each.name for each in dataclasses.fields(self) if each.name != 'bad')
        sums = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return Tally(bad=dict((Counter(self.bad) + Counter(other.bad)).most_common()), **sums)

    def clauses(self) -> list[str]:
        """Human-readable, such as `3 quarantined (2 truncated, 1 empty)`; zeros are omitted."""
        counted = {
            f'quarantined ({describe_bad(self.bad)})': sum(self.bad.values()),
            f'duplicate{"s" * (self.duplicates > 1)} skipped': self.duplicates,
            'skipped (near-duplicates in two splits)': self.between,
            'also in other spans': self.repeated,
            'without a group': self.ungrouped,
        }
        return [f'{number} {text}' for text, number in counted.items() if number]


def describe_bad(bad: dict[str, int]) -> str:
    """Formats counts by reason, such as `3 truncated, 1 not an image`."""
    return ', '.join(f'{number} {reason}' for reason, number in bad.items())


class Ingested(StrictModel):
    """`manifest.json` in the folder of a span's records, which is written last."""

    fingerprint: str  # of the images
    listed: str  # of their files as they were listed; another one if they were only touched
    settings: str  # what the records depend on, besides other spans
    counts: Counts  # used images
    tally: Tally


class Run(StrictModel):
    """`run.json` in the folder of a run's spans, which is written last, after its checks."""

    format: int  # FORMAT
    data: DataConfig
    images: Fingerprints
    earlier: str  # the URI of the earlier ingestion; empty without one

    @property
    def trained_spans(self) -> list[int]:
        """Numbers of the spans in the window, oldest first."""
        oldest = 0 if self.data.window == 'all' else -self.data.window
        return sorted(self.images)[oldest:]

    @property
    def splits(self) -> tuple[object, ...]:
        """What the splits depend on, besides the images."""
        return self.format, self.data.splits, self.data.group_by, self.data.checks.near_distance


def read_ingested(records: Path) -> Ingested:
    """Reads the manifest of records; raises OSError or ValueError if it is missing or damaged."""
    return Ingested.model_validate_json((records / MANIFEST).read_bytes())


def find_earlier(runs: Path, data: DataConfig, images: Fingerprints) -> str:
    """The URI of the earlier ingestion, whose splits are kept; empty if there is none.

    It is the newest of the same settings of splits. But a run that is repeated has the earlier
    ingestion that it had then, and is cached.
    """
    wanted, found = Run(format=FORMAT, data=data, images=images, earlier=''), ''
    for folder, run in _read_runs(runs):
        if run.model_copy(update={'earlier': ''}) == wanted:
            return run.earlier
        places = (folder / f'span-{span}' / INDEX for span in run.images)
        if not found and run.splits == wanted.splits and all(each.is_file() for each in places):
            found = uri_of(folder)
    return found


def is_ingested(runs: Path, data: DataConfig, sources: Mapping[int, Source]) -> bool:
    """Whether a run had the same settings and images by span, so that it is probably cached."""
    images = {span: known_fingerprint(each, runs, span) for span, each in sources.items()}
    return any(
        _settings(run.data) == _settings(data) and images.items() <= run.images.items()
        for _, run in _read_runs(runs)
    )


def _settings(data: DataConfig) -> dict[str, Any]:
    """Without the classes, which a recipe may leave to the images, and without secrets."""
    return data.model_dump(mode='json', exclude={'classes'})


def _read_runs(runs: Path) -> Iterator[tuple[Path, Run]]:
    for file in _newest_first(runs, RUN):
        with contextlib.suppress(ValueError):  # of another version
            yield file.parent, Run.model_validate_json(file.read_bytes())


def known_fingerprint(source: Source, runs: Path, span: int) -> str:
    """The fingerprint of the images, which stays the same if files were only touched.

    It is that of the last ingestion if each file has the name, the size, and the stamp (time or
    ETag) or the contents of then; else that of the source. `runs` has a folder for each run.
    """
    ingested: list[tuple[Path, Ingested]] = []
    for folder in _newest_first(runs, f'span-{span}'):
        with contextlib.suppress(OSError, ValueError):  # incomplete, or of another version
            ingested.append((folder, read_ingested(folder)))
    for _, each in ingested:
        if each.listed == source.fingerprint:
            return each.fingerprint
    if ingested and source.files and _is_touched(source, ingested[0][0]):
        return ingested[0][1].fingerprint
    return source.fingerprint


def write_files(records: Path, source: Source, digests: Mapping[str, str]) -> None:
    """Records the files of a source of files, given digests by name."""
    if source.files:
        files = {name: [size, stamp, digests.get(name)] for name, size, stamp in source.files}
        (records / _FILES).write_text(json.dumps([source.state, files]))


def _is_touched(source: Source, records: Path) -> bool:
    """Whether the files are those of an ingestion with other stamps; reads files with others."""
    try:
        state, recorded = json.loads((records / _FILES).read_text())
    except (OSError, ValueError):
        return False
    if state != source.state or recorded.keys() != {file.name for file in source.files}:
        return False
    touched = [file for file in source.files if [file.size, file.stamp] != recorded[file.name][:2]]
    sizes = [recorded[file.name][0] for file in touched if recorded[file.name][2]]
    if not source.folder or sizes != [file.size for file in touched]:
        return False
    contents = source.folder.read(touched, max(sizes, default=0))
    return all(
        isinstance(found, bytes) and hashlib.sha256(found).hexdigest() == recorded[file.name][2]
        for file, found in zip(touched, contents, strict=True)
    )


def _newest_first(runs: Path, name: str) -> Iterator[Path]:
    """A file or folder of each run; of one in object storage all is here but its records."""
    fetch(runs, '*.json', f'*/{INDEX}')
    folders = sorted(artifacts_in(runs), key=lambda each: -int(each.name))
    places = (each / name for each in folders)
    return (place for place in places if place.exists())

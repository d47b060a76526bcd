"""The results of ingestions on disk: counts, fingerprints, and runs. Imports no TensorFlow."""

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from common.features import INDEX, MANIFEST
from common.strict_model import StrictModel
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labelled_files import FileSource
from components.image_example_gen.sources.base.source_protocol import Source

FORMAT = 10  # version of the files of a span; a new number ingests everything again
_FILES = 'files.json'  # of a source of files: stamp and SHA-256 of each, by name
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
    settings: str = ''  # what the records depend on, besides other spans
    counts: Counts  # used images
    tally: Tally
    sizes: dict[str, int]  # bytes of each file of records


class Run(StrictModel):
    """`run.json` in the folder of a run's spans, which is written last, after its checks."""

    format: int  # FORMAT
    data: DataConfig
    images: Fingerprints
    earlier: str  # the folder of the earlier ingestion; empty without one

    @property
    def splits(self) -> tuple[object, ...]:
        """What the splits depend on, besides the images."""
        return self.format, self.data.splits, self.data.group_by, self.data.checks.near_distance


def read_ingested(records: Path) -> Ingested:
    """Reads the manifest of records; raises OSError or ValueError if it is missing or damaged."""
    return Ingested.model_validate_json((records / MANIFEST).read_bytes())


def sizes_of(records: Path) -> dict[str, int]:
    """Bytes of each file of a span but the manifest."""
    files = [each for each in records.rglob('*') if each.is_file() and each.name != MANIFEST]
    return {str(each.relative_to(records)): each.stat().st_size for each in sorted(files)}


def find_earlier(runs: Path, data: DataConfig, images: Fingerprints) -> str:
    """The folder of the earlier ingestion, whose splits are kept; empty if there is none.

    It is the newest of the same settings of splits. But a run that is repeated has the earlier
    ingestion that it had then, and is cached.
    """
    wanted, found = Run(format=FORMAT, data=data, images=images, earlier=''), []
    for file in _newest_first(runs, RUN):
        with contextlib.suppress(ValueError):  # of another version
            run = Run.model_validate_json(file.read_bytes())
            if run.model_copy(update={'earlier': ''}) == wanted:
                return run.earlier
            places = (file.parent / f'span-{span}' / INDEX for span in run.images)
            if run.splits == wanted.splits and all(place.is_file() for place in places):
                found.append(str(file.parent))
    return next(iter(found), '')


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
    if ingested and isinstance(source, FileSource) and _is_touched(source, *ingested[0]):
        return ingested[0][1].fingerprint
    return source.fingerprint


def write_files(records: Path, source: Source, digests: Iterable[dict[str, str]]) -> None:
    """Records the files of a source of files, given digests by name."""
    if isinstance(source, FileSource) and source.stamps:
        known: dict[str, str] = {}
        for each in digests:
            known |= each
        files = {each.name: [each.stamp, known.get(each.name)] for each in source.stamps}
        (records / _FILES).write_text(json.dumps(files))


def _is_touched(source: FileSource, records: Path, ingested: Ingested) -> bool:
    """Whether the files are those of an ingestion with other stamps; reads files with others."""
    try:
        recorded = json.loads((records / _FILES).read_text())
    except (OSError, ValueError):
        return False
    files = source.stamps
    if recorded.keys() != {file.name for file in files}:
        return False
    then = [file._replace(stamp=recorded[file.name][0]) for file in files]
    if source.fingerprint_with(then) != ingested.listed:
        return False
    touched = [file for file, before in zip(files, then, strict=True) if file != before]
    return all(
        isinstance(contents, bytes)
        and hashlib.sha256(contents).hexdigest() == recorded[file.name][1]
        for file, contents in zip(touched, source.read(touched), strict=True)
    )


def _newest_first(runs: Path, name: str) -> Iterator[Path]:
    """A file or folder of each run."""
    folders = (each for each in runs.glob('*') if each.name.isdecimal())
    places = (each / name for each in sorted(folders, key=lambda each: -int(each.name)))
    return (place for place in places if place.exists())

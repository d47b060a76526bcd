"""The result of an ingestion on disk, and the fingerprints of its images. Imports no TensorFlow."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from common.errors import Rejected
from common.features import MANIFEST
from common.strict_model import StrictModel
from components.image_example_gen.ingestion.tally import Tally
from components.image_example_gen.sources.base.listing import File
from components.image_example_gen.sources.base.source_protocol import Source

FILES = 'files.json'  # of a source of files: stamp and SHA-256 of each, by name

Counts = dict[str, dict[str, int]]  # images by split and class


class Ingested(StrictModel):
    """`manifest.json` in the folder of a span's records."""

    fingerprint: str  # of the images
    listed: str  # of their files as they were listed; another one if they were only touched
    settings: str = ''  # the keys of `data` that the records depend on, as JSON
    run: str = ''  # the spans and the earlier ingestion of the run, as JSON
    counts: Counts  # used images
    tally: Tally
    sizes: dict[str, int]  # bytes of each file of records


def read_ingested(records: Path) -> Ingested:
    """Reads the manifest of records; raises OSError or ValueError if it is missing or damaged."""
    return Ingested.model_validate_json((records / MANIFEST).read_bytes())


def sizes_of(records: Path) -> dict[str, int]:
    """Bytes of each file of a span but the manifest."""
    files = [each for each in records.rglob('*') if each.is_file() and each.name != MANIFEST]
    return {str(each.relative_to(records)): each.stat().st_size for each in sorted(files)}


def known_fingerprint(source: Source, examples: Path, span: int) -> str:
    """The fingerprint of the images, which stays the same if files were only touched.

    It is that of the last ingestion if each file has the name, the size, and the stamp (time or
    ETag) or the contents of then; else that of the source. `examples` has a folder for each run.
    """
    ingested: list[tuple[Path, Ingested]] = []
    for folder in sorted(examples.glob(f'*/span-{span}'), key=_run, reverse=True):
        with contextlib.suppress(OSError, ValueError):  # incomplete, or of another version
            ingested.append((folder, read_ingested(folder)))
    for _, each in ingested:
        if each.listed == source.fingerprint:
            return each.fingerprint
    if ingested and isinstance(source, _FileSource) and _is_touched(source, *ingested[0]):
        return ingested[0][1].fingerprint
    return source.fingerprint


def write_files(records: Path, source: Source, digests: Iterable[Path]) -> None:
    """Writes FILES of a source of files; `digests` are JSON files with digests by name."""
    if isinstance(source, _FileSource) and source.stamps:
        known: dict[str, str] = {}
        for file in digests:
            known |= json.loads(file.read_text())
        files = {each.name: [each.stamp, known.get(each.name)] for each in source.stamps}
        (records / FILES).write_text(json.dumps(files))


@runtime_checkable
class _FileSource(Source, Protocol):
    """A source of files, which have times of modification or ETags."""

    stamps: Sequence[File]

    def read(self, files: Sequence[File]) -> Iterator[bytes | Rejected]: ...

    def fingerprint_with(self, files: Sequence[File]) -> str: ...


def _is_touched(source: _FileSource, records: Path, ingested: Ingested) -> bool:
    """Whether the files are those of an ingestion with other stamps; reads files with others."""
    try:
        recorded = json.loads((records / FILES).read_text())
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


def _run(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdecimal() else -1

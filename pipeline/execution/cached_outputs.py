"""Outputs that a later run may take over have to be as they were left.

TFX takes an output from its cache if the folder is there, whatever is in it. So after each node a
listing of its files is kept with its execution, in its custom property, and compared when a later
run comes upon that execution. An artifact that differs is marked: TFX takes over no execution with
an output that is not live, and the node runs anew.

The listing is no part of the artifacts: these, as they are kept, are part of the keys of the cache.
"""

import contextlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import cache_utils

from common.artifacts import folder_of
from common.metadata_queries import custom
from pipeline.registry.recording import BY_HAND

FILES = 'catdog_files'  # the custom property: by the ids of artifacts, files and their sizes
_LARGEST = 20_000  # bytes of that: an answer of ML Metadata holds a hundred executions or 4 MB
_LIVE = metadata_store_pb2.Artifact.LIVE

Listing = dict[str, Any]

_log = logging.getLogger(__name__)


def note_files(
    store: MetadataStore,
    execution: metadata_store_pb2.Execution,
    outputs: Mapping[str, list[metadata_store_pb2.Artifact]],
) -> None:
    """Keeps a listing of what a node has just written."""
    artifacts = [artifact for those in outputs.values() for artifact in those]
    text = json.dumps({each.id: list_files(folder_of(each.uri)) for each in artifacts})
    if len(text) > _LARGEST:
        text = json.dumps({each.id: list_folders(folder_of(each.uri)) for each in artifacts})
    execution.custom_properties[FILES].string_value = text
    store.put_executions([execution])


@contextlib.contextmanager
def whole_ones_only(node_id: str) -> Iterator[None]:
    """While this lasts, TFX's launcher takes nothing from its cache that is damaged.

    Args:
        node_id: of the node that is launched, for a person.
    """
    unchecked = cache_utils.get_cached_outputs

    def checked(metadata_handle: Any, cache_context: metadata_store_pb2.Context) -> Any:
        _mark_damaged(metadata_handle.store, cache_context.id, node_id)
        return unchecked(metadata_handle=metadata_handle, cache_context=cache_context)

    cache_utils.get_cached_outputs = checked  # the launcher has no place for it
    try:
        yield
    finally:
        cache_utils.get_cached_outputs = unchecked


def _mark_damaged(store: MetadataStore, cache_context: int, node_id: str) -> None:
    executions = store.get_executions_by_context(cache_context)
    listings: dict[int, Listing] = {}
    for execution in executions:
        text = execution.custom_properties[FILES].string_value or '{}'
        listings.update({int(key): listing for key, listing in json.loads(text).items()})
    damaged = []
    for artifact in store.get_artifacts_by_id(sorted(listings)):
        if artifact.state != _LIVE or custom(artifact, BY_HAND):  # a person changed its files
            continue
        problem = find_damage(folder_of(artifact.uri), listings[artifact.id])
        if problem is not None:
            _log.warning('%s runs anew: of what an earlier run left, %s', node_id, problem)
            artifact.state = metadata_store_pb2.Artifact.MARKED_FOR_DELETION
            damaged.append(artifact)
    if damaged:
        store.put_artifacts(damaged)


def find_damage(root: Path, listing: Listing) -> str | None:
    """What is not as it was, as a clause; None if all of it is.

    What came later is no damage.
    """
    by_folder = any(isinstance(what, list) for what in listing.values())
    now = list_folders(root) if by_folder else list_files(root)
    for name, before in listing.items():
        path = root / name if name else root
        if name not in now:
            return f'{path} is missing'
        if now[name] != before:
            return f'{path} has {_words(now[name])} instead of {_words(before)}'
    return None


def list_files(root: Path) -> Listing:
    """Sizes of all files by their paths in an artifact; that of one which is a file has no name."""
    return dict(_walk(root))


def list_folders(root: Path) -> Listing:
    """The same for artifacts of very many files: how many and how large, by folders."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for name, size in _walk(root):
        folder = str(Path(name).parent)
        files[folder] += 1
        sizes[folder] += size
    return {folder: [files[folder], sizes[folder]] for folder in sorted(files)}


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    if root.is_file():
        yield '', root.stat().st_size
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            file = Path(folder, name)
            yield str(file.relative_to(root)), file.stat().st_size


def _words(what: Any) -> str:
    if isinstance(what, list):
        files, size = what
        return f'{files} file{"s" * (files != 1)} of {size} bytes'
    return f'{what} bytes'

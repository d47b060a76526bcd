"""Finds the earlier ingestion of a pipeline, whose splits are kept, in ML Metadata."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.errors import AlreadyExistsError
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event
from tfx.orchestration.portable.mlmd import event_lib

from common.artifacts import folder_of
from common.features import EARLIER, FINGERPRINT, INDEX, SPAN
from common.metadata_queries import custom_property, read_nodes

Fingerprints = dict[int, str]  # of the images, by span
_KEYS = ('data', 'record_format')  # exec properties


def find_earlier(
    store: MetadataStore, node: str, properties: Mapping[str, Any], images: Fingerprints
) -> tuple[str, list[Artifact]]:
    """The folder of the earlier ingestion, empty if there is none, and its Examples.

    It is the newest complete one of other images. Images that were ingested before have the same
    earlier ingestion as then: a repeated run has the input of the first one, and is cached. An
    ingestion with other settings of the splits is not used.

    Args:
        store: ML Metadata.
        node: name of the context of the component's executions.
        properties: exec properties of the component.
        images: the present images.
    """
    context = store.get_context_by_type_and_name('node', node)
    found = read_nodes(store, store.get_executions_by_context(context.id) if context else ())
    settings = _split_settings(properties)
    runs = [
        examples
        for each in reversed(found)
        if (examples := each.outputs.get('examples'))
        and settings
        == _split_settings({key: custom_property(each.execution, key) for key in _KEYS})
    ]
    same = next((run for run in runs if _images(run) == images), None)
    if same:
        folder = custom_property(same[0], EARLIER) or ''
    else:
        folder = next((_folder(run) for run in runs if _is_complete(run)), '')
    return folder, next((run for run in runs if _folder(run) == folder), [])


def record_input(store: MetadataStore, execution: int, examples: list[Artifact]) -> None:
    """Records Examples as an input of an execution, in addition to those of its spec."""
    events = [
        event_lib.generate_event(Event.INPUT, EARLIER, index, each.id, execution)
        for index, each in enumerate(examples)
    ]
    with contextlib.suppress(AlreadyExistsError):  # the task of this node was started twice
        store.put_events(events)


def _split_settings(properties: Mapping[str, Any]) -> list[Any]:
    data = json.loads(properties['data'] or '{}')
    near = data.get('checks', {}).get('near_distance')
    return [properties['record_format'], data.get('splits'), data.get('group_by'), near]


def _folder(examples: list[Artifact]) -> str:
    return str(folder_of(examples[0].uri).parent)


def _images(examples: list[Artifact]) -> Fingerprints:
    return {custom_property(each, SPAN): custom_property(each, FINGERPRINT) for each in examples}


def _is_complete(examples: list[Artifact]) -> bool:
    return all(
        each.state == Artifact.LIVE and (folder_of(each.uri) / INDEX).is_file() for each in examples
    )

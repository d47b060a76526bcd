"""What ML Metadata holds of a pipeline: trainings, evaluations, pushes. Imports no TFX."""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from common.blessing import BLESSING, decision_of
from common.features import FINGERPRINT, SPAN
from common.metadata_queries import (
    INPUTS,
    OUTPUTS,
    SUCCEEDED,
    artifacts_by_id,
    component_class,
    custom_property,
    events_of_executions,
)

TRAINER, EVALUATOR, GATE, PUSHER = 'Trainer', 'Evaluator', 'ModelGate', 'Pusher'
# What a person does, and a push that was found live and noted by a later run.
ROLLBACK, BLESS, UNBLESS, ADOPT = 'Rollback', 'Bless', 'Unbless', 'Adopt'
_KINDS = (TRAINER, EVALUATOR, GATE, PUSHER, ROLLBACK, BLESS, UNBLESS, ADOPT)

Artifacts = tuple[metadata_store_pb2.Artifact, ...]


@dataclasses.dataclass(frozen=True)
class Node:
    """A component that came to its end, whether it ran or was cached.

    Attributes:
        execution: its record.
        kind: the name of its class, such as `Trainer`.
        inputs: artifacts by their keys.
        outputs: the same.
    """

    execution: metadata_store_pb2.Execution
    kind: str
    inputs: Mapping[str, Artifacts]
    outputs: Mapping[str, Artifacts]

    @property
    def ended(self) -> datetime.datetime:
        return moment(self.execution.last_update_time_since_epoch)

    def input(self, key: str) -> metadata_store_pb2.Artifact | None:
        """The only artifact of an input; None if there is none."""
        return next(iter(self.inputs.get(key, ())), None)

    def output(self, key: str) -> metadata_store_pb2.Artifact | None:
        """The only artifact of an output; None if there is none."""
        return next(iter(self.outputs.get(key, ())), None)


class Provenance:
    """What trained, judged and pushed models of a pipeline, oldest first, and how that fits.

    Args:
        store: where the metadata is; None: nowhere yet.
        pipeline: its name, which is that of the recipe; others may share the store.
    """

    def __init__(self, store: MetadataStore | None, pipeline: str) -> None:
        self._store = store
        self.nodes = tuple(_nodes(store, pipeline)) if store else ()
        self._producers: dict[int, Node] = {}
        for node in self.nodes:
            for artifacts in node.outputs.values():
                for artifact in artifacts:  # what is cached later was produced by the first
                    self._producers.setdefault(artifact.id, node)

    def of_kind(self, kind: str) -> Iterator[Node]:
        """All nodes of a kind, oldest first."""
        return (node for node in self.nodes if node.kind == kind)

    def judged(self) -> Iterator[Node]:
        """Those that blessed a model, or did not, oldest first.

        That is the gate; in older runs the Evaluator, which leaves its blessing empty today.
        """
        return (node for node in self.nodes if decision_of(node.output(BLESSING)) is not None)

    def pushed(self) -> 'tuple[Node, ...]':
        """Of each version that was pushed, what did it first; lowest version first.

        Later ones found it live, or were cached.
        """
        firsts: dict[str, Node] = {}
        for node in self.nodes:
            if custom_property(node.output('pushed_model'), 'pushed') == 1:
                firsts.setdefault(destination_of(node), node)
        return tuple(sorted(firsts.values(), key=version_of))

    def producer(self, artifact: metadata_store_pb2.Artifact | None) -> Node | None:
        """The node that made an artifact, if it is one of these kinds."""
        return self._producers.get(artifact.id) if artifact else None

    def run_id(self, node: Node) -> str:
        """The pipeline run that a node belongs to."""
        assert self._store is not None  # else there would be no node
        contexts = self._store.get_contexts_by_execution(node.execution.id)
        return next((each.name for each in contexts if each.type == 'pipeline_run'), '')

    def trained_on(self, model: metadata_store_pb2.Artifact | None) -> dict[int, str]:
        """Numbers of the spans that a model was trained on, with their fingerprints."""
        trainer = self.producer(model)
        examples = trainer.inputs.get('examples', ()) if trainer else ()
        spans = {
            custom_property(each, SPAN): custom_property(each, FINGERPRINT) for each in examples
        }
        return {
            int(number): str(fingerprint)
            for number, fingerprint in sorted(spans.items())
            if number is not None
        }


def version_of(pushed: Node) -> int:
    """The number of the version that a node has pushed."""
    return int(custom_property(pushed.output('pushed_model'), 'pushed_version'))


def destination_of(pushed: Node) -> str:
    """The folder that a node has pushed a version to."""
    return str(custom_property(pushed.output('pushed_model'), 'pushed_destination'))


def plain(value: Any) -> str:
    """What JSON has no form for, as text."""
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def moment(milliseconds: int) -> datetime.datetime:
    """A time of ML Metadata, in UTC."""
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)


def _nodes(store: MetadataStore, pipeline: str) -> list[Node]:
    context = store.get_context_by_type_and_name('pipeline', pipeline)
    if context is None:
        return []
    kinds = {
        each.id: (each, component_class(each))
        for each in store.get_executions_by_context(context.id)
        if each.last_known_state in SUCCEEDED
    }
    wanted = sorted(key for key, (_, kind) in kinds.items() if kind in _KINDS)  # oldest first
    events = events_of_executions(store, wanted, (*INPUTS, *OUTPUTS))
    artifacts = artifacts_by_id(store, {event.artifact_id for event in events})
    by_execution: dict[int, list[metadata_store_pb2.Event]] = {key: [] for key in wanted}
    for event in events:
        by_execution[event.execution_id].append(event)
    return [
        Node(*kinds[key], _by_key(these, INPUTS, artifacts), _by_key(these, OUTPUTS, artifacts))
        for key, these in by_execution.items()
    ]


def _by_key(
    events: Iterable[metadata_store_pb2.Event],
    types: Sequence[int],
    artifacts: Mapping[int, metadata_store_pb2.Artifact],
) -> dict[str, Artifacts]:
    found: dict[str, Artifacts] = {}
    for event in events:
        if event.type in types and event.artifact_id in artifacts:
            key = event.path.steps[0].key
            found[key] = (*found.get(key, ()), artifacts[event.artifact_id])
    return found

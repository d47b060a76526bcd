"""Executions of a pipeline in ML Metadata: training, evaluation, gate, push, override.

Imports no TFX.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

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
# Manual overrides. ADOPT: a push that a later run found in the serving folder and recorded.
ROLLBACK, BLESS, UNBLESS, ADOPT = 'Rollback', 'Bless', 'Unbless', 'Adopt'
_KINDS = (TRAINER, EVALUATOR, GATE, PUSHER, ROLLBACK, BLESS, UNBLESS, ADOPT)

Artifacts = tuple[metadata_store_pb2.Artifact, ...]


@dataclasses.dataclass(frozen=True)
class Node:
    """A successful or cached execution with its artifacts.

    Attributes:
        execution: the record in ML Metadata.
        kind: class name of the component, such as `Trainer`.
        inputs: input artifacts by key.
        outputs: output artifacts by key.
    """

    execution: metadata_store_pb2.Execution
    kind: str
    inputs: Mapping[str, Artifacts]
    outputs: Mapping[str, Artifacts]

    @property
    def ended(self) -> datetime.datetime:
        """End of the execution, in UTC."""
        milliseconds = self.execution.last_update_time_since_epoch
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)

    def input(self, key: str) -> metadata_store_pb2.Artifact | None:
        """The only artifact of an input; None if there is none."""
        return next(iter(self.inputs.get(key, ())), None)

    def output(self, key: str) -> metadata_store_pb2.Artifact | None:
        """The only artifact of an output; None if there is none."""
        return next(iter(self.outputs.get(key, ())), None)

    def uses(self, model: metadata_store_pb2.Artifact) -> bool:
        """Whether the input `model` is this artifact."""
        return any(each.id == model.id for each in self.inputs.get('model', ()))


class Provenance:
    """Executions that trained, evaluated, pushed or overrode models of one pipeline.

    Args:
        store: ML Metadata; None if there is none yet.
        pipeline: name of the pipeline and recipe; other pipelines may share the store.

    Attributes:
        nodes: all executions, oldest first.
    """

    def __init__(self, store: MetadataStore | None, pipeline: str) -> None:
        self._store = store
        self.nodes = tuple(_nodes(store, pipeline)) if store else ()
        self._producers: dict[int, Node] = {}
        for node in self.nodes:
            for artifacts in node.outputs.values():
                for artifact in artifacts:  # later cached executions output the same artifact
                    self._producers.setdefault(artifact.id, node)

    def of_kind(self, kind: str) -> Iterator[Node]:
        """Executions of one component, oldest first."""
        return (node for node in self.nodes if node.kind == kind)

    def gate_decisions(self) -> Iterator[Node]:
        """Executions that blessed or rejected a model, oldest first.

        These are executions of ModelGate. In runs of earlier versions the Evaluator decided; today
        it leaves its blessing empty.
        """
        return (node for node in self.nodes if decision_of(node.output(BLESSING)) is not None)

    def pushed(self) -> tuple[Node, ...]:
        """The first execution that pushed each version, lowest version first.

        Later executions were cached or found the version live.
        """
        firsts: dict[str, Node] = {}
        for node in self.nodes:
            if custom_property(node.output('pushed_model'), 'pushed') == 1:
                firsts.setdefault(destination_of(node), node)
        return tuple(sorted(firsts.values(), key=version_of))

    def producer(self, artifact: metadata_store_pb2.Artifact | None) -> Node | None:
        """The execution that produced an artifact; None if it is not one of `nodes`."""
        return self._producers.get(artifact.id) if artifact else None

    def run_id(self, node: Node) -> str:
        """The pipeline run of an execution."""
        assert self._store is not None  # without a store there are no nodes
        contexts = self._store.get_contexts_by_execution(node.execution.id)
        return next((each.name for each in contexts if each.type == 'pipeline_run'), '')

    def training_spans(self, model: metadata_store_pb2.Artifact | None) -> dict[int, str]:
        """Fingerprints of the spans that a model was trained on, by span number."""
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
    """The version number that an execution pushed."""
    return int(custom_property(pushed.output('pushed_model'), 'pushed_version'))


def destination_of(pushed: Node) -> str:
    """The folder of the version that an execution pushed."""
    return str(custom_property(pushed.output('pushed_model'), 'pushed_destination'))


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
    """Artifacts of the events of some types, by the key of the event."""
    found: dict[str, Artifacts] = {}
    for event in events:
        if event.type in types and event.artifact_id in artifacts:
            key = event.path.steps[0].key
            found[key] = (*found.get(key, ()), artifacts[event.artifact_id])
    return found

"""The latest gate decision and the manual overrides since. Imports no TFX."""

import dataclasses
import datetime
from collections.abc import Iterator

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.artifacts import folder_of
from common.blessing import ManualOverride, model_id_of, read_override
from common.errors import ModelError
from common.metadata_queries import custom_property
from components.evaluation.gate.verdict import VERDICT, Verdict, read_verdict
from pipeline.registry.provenance import (
    BLESS,
    GATE,
    ROLLBACK,
    UNBLESS,
    Node,
    Provenance,
    version_of,
)
from pipeline.registry.recording import WITHDRAWN

_ACTIONS = {BLESS: 'blessed', UNBLESS: 'blessing withdrawn', ROLLBACK: 'made live by a rollback'}
_VOTES = {True: ('passed', 'green'), False: ('failed', 'bold red'), None: ('no vote', 'dim')}


@dataclasses.dataclass(frozen=True)
class RecordedOverride:
    """A manual override of a model.

    Attributes:
        what: the action, in words.
        when: in UTC.
        person: name of the user.
        reason: given by the user.
    """

    what: str
    when: datetime.datetime
    person: str
    reason: str


@dataclasses.dataclass(frozen=True)
class GateDecision:
    """The latest gate decision on a candidate model.

    Attributes:
        recipe: name of the recipe.
        run: the pipeline run.
        when: end of the gate.
        model: URI of the candidate.
        version: the version that it was last pushed as; None if it was not pushed.
        baseline: URI of the previous blessed model; None if there was none.
        baseline_version: the version that the baseline was last pushed as.
        blessed: whether the model may be pushed now; a manual override has precedence.
        verdict: the result of each rule.
        overrides: manual overrides of the candidate, oldest first.
    """

    recipe: str
    run: str
    when: datetime.datetime
    model: str
    version: str | None
    baseline: str | None
    baseline_version: str | None
    blessed: bool
    verdict: Verdict
    overrides: tuple[RecordedOverride, ...]


def latest_decision(store: MetadataStore | None, pipeline: str) -> GateDecision:
    """Reads the latest gate decision.

    Args:
        store: ML Metadata; None if there is none yet.
        pipeline: name of the recipe.

    Raises:
        ModelError: there is no decision yet, or its file cannot be read.
    """
    provenance = Provenance(store, pipeline)
    gates = list(provenance.of_kind(GATE))
    if not gates and any(provenance.gate_decisions()):
        raise ModelError(f'no run of {pipeline} has recorded reasons yet; run the recipe again')
    if not gates:
        raise ModelError(f'{pipeline} has evaluated no model yet; run the recipe')
    gate = gates[-1]
    model, baseline = gate.input('model'), gate.input('baseline_model')
    assert model is not None  # required by ModelGate
    verdict = _verdict_of(gate)
    override = read_override(folder_of(model.uri))
    return GateDecision(
        recipe=pipeline,
        run=provenance.run_id(gate),
        when=gate.ended,
        model=model.uri,
        version=_version(provenance, model),
        baseline=baseline.uri if baseline else None,
        baseline_version=_version(provenance, baseline) if baseline else None,
        blessed=override.blessed if override else verdict.blessed,
        verdict=verdict,
        overrides=_add_unrecorded(tuple(_overrides(provenance, model)), override),
    )


def as_text(decision: GateDecision) -> RenderableType:
    """The decision, formatted for the console."""
    blessed = ('BLESSED', 'bold green') if decision.blessed else ('NOT BLESSED', 'bold red')
    baseline = decision.baseline or 'no previous blessed model'
    head = Text.assemble(
        blessed,
        f': the model of run {decision.run}, {_time(decision.when)}\n',
        f'model: {decision.model}{_in_brackets(decision.version)}\n',
        f'compared with: {baseline}{_in_brackets(decision.baseline_version)}\n',
    )
    rules = Table(box=None, pad_edge=False, show_header=False)
    for ruling in decision.verdict.rulings:
        rules.add_row(Text(*_VOTES[ruling.passed]), Text(ruling.reason))
    parts: list[RenderableType] = [head, rules]
    if decision.overrides:
        rules_say = 'bless' if decision.verdict.blessed else 'reject'
        parts.append(Text(f'\nmanual overrides (the rules {rules_say} the model):'))
    parts += [
        Text(f'  {_time(each.when)}, {each.person}: {each.what}: {each.reason}')
        for each in decision.overrides
    ]
    return Group(*parts)


def _time(moment: datetime.datetime) -> str:
    return f'{moment:%Y-%m-%d %H:%M:%S %Z}'


def _in_brackets(version: str | None) -> str:
    return f' (version {version})' if version else ''


def _verdict_of(gate: Node) -> Verdict:
    artifact = gate.output(VERDICT)
    assert artifact is not None  # ModelGate always writes one
    folder = folder_of(artifact.uri)
    try:
        return read_verdict(folder)
    except OSError as error:
        raise ModelError(f'the verdict in {folder} cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise ModelError(f'the verdict in {folder} is damaged; run the recipe again') from error


def _version(provenance: Provenance, model: Artifact) -> str | None:
    """The highest version pushed from a model."""
    versions = [str(version_of(node)) for node in provenance.pushed() if node.uses(model)]
    return versions[-1] if versions else None


def _overrides(provenance: Provenance, model: Artifact) -> Iterator[RecordedOverride]:
    for node in provenance.nodes:
        withdrawn = custom_property(node.execution, WITHDRAWN) == model.id
        if node.kind in _ACTIONS and (withdrawn or _concerns(node, model)):
            what = _ACTIONS[UNBLESS if withdrawn else node.kind]
            properties = node.execution.custom_properties
            person, reason = (properties[key].string_value for key in ('person', 'reason'))
            yield RecordedOverride(what, node.ended, person, reason)


def _add_unrecorded(
    recorded: tuple[RecordedOverride, ...], override: ManualOverride | None
) -> tuple[RecordedOverride, ...]:
    """Adds the override in the model's folder if it is not in the metadata.

    This happens when the process is killed between the two writes.
    """
    if override is None:
        return recorded
    what = _ACTIONS[BLESS if override.blessed else UNBLESS]
    if any((each.what, each.reason) == (what, override.reason) for each in recorded):
        return recorded
    return (*recorded, RecordedOverride(what, override.moment, override.person, override.reason))


def _concerns(node: Node, model: Artifact) -> bool:
    """Whether the model or a blessing of it is an input of an execution."""
    inputs = [artifact for artifacts in node.inputs.values() for artifact in artifacts]
    return any(model.id in (artifact.id, model_id_of(artifact)) for artifact in inputs)

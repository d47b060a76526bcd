"""The latest gate decision, rule by rule, and the manual override of it. Imports no TFX."""

import dataclasses
import datetime

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.artifacts import folder_of
from common.blessing import BLESSING, ManualOverride, decision_of, read_override
from common.errors import ModelError
from common.metadata_queries import Node
from components.evaluation.gate.verdict import (
    FAILED,
    NOT_APPLIED,
    PASSED,
    UNDECIDED,
    VERDICT,
    Verdict,
    read_verdict,
)
from pipeline.formatting import describe_remedies
from pipeline.registry.mounts import artifacts_root, not_mounted
from pipeline.registry.provenance import GATE, Provenance, version_of

_STYLES = {PASSED: 'green', FAILED: 'bold red', UNDECIDED: 'yellow', NOT_APPLIED: 'dim'}


@dataclasses.dataclass(frozen=True)
class GateDecision:
    """The latest gate decision on a candidate model."""

    recipe: str
    run: str
    when: datetime.datetime  # end of the gate
    model: str  # URI of the candidate
    version: str | None  # the version that it was last pushed as; None if it was not pushed
    baseline: str | None  # URI of the live model; None if there was none
    baseline_version: str | None
    anchor: str | None  # URI of the best model so far; None if it was the live one
    anchor_version: str | None
    blessed: bool  # whether the model may be pushed now; a manual override has precedence
    verdict: Verdict
    override: ManualOverride | None
    warm_start: bool = False  # whether the candidate's training started from an earlier model


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """A run that evaluated a model."""

    run: str
    ended: datetime.datetime  # end of the gate
    spans: tuple[int, ...]  # that the model was trained on
    blessed: bool  # by the gate
    version: str | None  # the version that the model was last pushed as


def evaluated_runs(provenance: Provenance, last: int) -> tuple[EvaluatedRun, ...]:
    """The last runs that evaluated a model, oldest first; reads no files."""
    return tuple(
        EvaluatedRun(
            run=provenance.run_id(gate),
            ended=gate.ended,
            spans=tuple(provenance.training_spans(gate.input('model'))),
            blessed=decision_of(gate.output(BLESSING)) is True,
            version=_version(provenance, gate.inputs['model'][0]),
        )
        for gate in list(provenance.of_kind(GATE))[-last:]
    )


def latest_decision(store: MetadataStore | None, pipeline: str) -> GateDecision:
    """Reads the latest gate decision of a recipe.

    Raises:
        ModelError: there is no decision yet, or its file cannot be read.
    """
    provenance = Provenance(store, pipeline)
    gates = list(provenance.of_kind(GATE))
    if not gates:
        raise ModelError(f'{pipeline} has evaluated no model yet; run the recipe')
    gate = gates[-1]
    (model,) = gate.inputs['model']
    baseline, anchor = gate.input('baseline_model'), gate.input('anchor_model')
    verdict = _read_verdict(gate)
    override = read_override(folder_of(model.uri))
    trainer = provenance.producer(model)
    return GateDecision(
        recipe=pipeline,
        run=provenance.run_id(gate),
        when=gate.ended,
        model=model.uri,
        version=_version(provenance, model),
        baseline=baseline.uri if baseline else None,
        baseline_version=_version(provenance, baseline) if baseline else None,
        anchor=anchor.uri if anchor else None,
        anchor_version=_version(provenance, anchor) if anchor else None,
        blessed=override.blessed if override else verdict.blessed,
        verdict=verdict,
        override=override,
        warm_start=trainer is not None and trainer.input('base_model') is not None,
    )


def as_text(decision: GateDecision) -> RenderableType:
    """The decision, formatted for the console."""
    blessed = ('BLESSED', 'bold green') if decision.blessed else ('NOT BLESSED', 'bold red')
    baseline = decision.baseline or 'no live model'
    head = Text.assemble(
        blessed,
        f': the model of run {decision.run}, {_time(decision.when)}\n',
        f'model: {decision.model}{_in_brackets(decision.version)}\n',
        f'compared with: {baseline}{_in_brackets(decision.baseline_version)}\n',
    )
    if decision.anchor:
        head.append(f'best so far: {decision.anchor}{_in_brackets(decision.anchor_version)}\n')
    rules = Table(box=None, pad_edge=False, show_header=False)
    for ruling in decision.verdict.rulings:
        rules.add_row(Text(ruling.result, _STYLES[ruling.result]), Text(ruling.reason))
    override = decision.override
    if override is None and decision.verdict.remedies:
        verdict = decision.verdict
        remedy = describe_remedies(verdict.remedies, verdict.settings)
        return Group(head, rules, Text(f'\nremedy: {remedy}'))
    if override is None:
        return Group(head, rules)
    rules_say = 'bless' if decision.verdict.blessed else 'reject'
    tail = f'manual override (the rules {rules_say} the model), {_time(override.moment)}:'
    return Group(head, rules, Text(f'\n{tail}\n{override.describe()}'))


def _time(moment: datetime.datetime) -> str:
    return f'{moment:%Y-%m-%d %H:%M:%S %Z}'


def _in_brackets(version: str | None) -> str:
    return f' (version {version})' if version else ''


def _read_verdict(gate: Node) -> Verdict:
    artifact = gate.output(VERDICT)
    if artifact is None:
        raise ModelError('the last gate decision has no verdict; run the recipe again')
    folder = folder_of(artifact.uri)
    try:
        return read_verdict(folder)
    except (OSError, ValueError) as error:
        root = artifacts_root(folder)
        if not root.is_dir():
            raise not_mounted(root) from error
        reason = f'cannot be read: {error.strerror}' if isinstance(error, OSError) else 'is damaged'
        raise ModelError(f'the verdict in {folder} {reason}; run the recipe again') from error


def _version(provenance: Provenance, model: Artifact) -> str | None:
    """The highest version pushed from a model."""
    versions = [str(version_of(node)) for node in provenance.pushed() if node.uses(model)]
    return versions[-1] if versions else None

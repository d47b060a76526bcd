"""The last verdict of the gate, and manual actions on the model since. Imports no TFX."""

import dataclasses
import datetime
import json
from collections.abc import Iterator
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
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
    plain,
    version_of,
)
from pipeline.registry.recording import WITHDRAWN

_ACTIONS = {
    BLESS: 'blessed by hand',
    UNBLESS: 'its blessing was withdrawn by hand',
    ROLLBACK: 'made live again by hand',
}
_VOTES = {True: ('yes', 'green'), False: ('no', 'bold red'), None: ('no vote', 'dim')}


@dataclasses.dataclass(frozen=True)
class ManualAction:
    """A manual action on the model.

    Attributes:
        what: in words.
        when: in UTC.
        person: who.
        reason: why.
    """

    what: str
    when: datetime.datetime
    person: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Why:
    """The last verdict.

    Attributes:
        recipe: its name.
        run: the pipeline run.
        when: the gate ended.
        model: the folder of the candidate.
        version: as which it was pushed; None if it was not.
        baseline: the folder of the model that it was compared with; None if there was none.
        baseline_version: as which that one was pushed last.
        blessed: whether the model may be pushed today: by the manual override if there is one.
        verdict: what the rules said.
        deeds: manual actions on the model since it was judged first, oldest first.
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
    deeds: tuple[ManualAction, ...]


def read_why(store: MetadataStore | None, pipeline: str) -> Why:
    """Looks up the last verdict.

    Args:
        store: ML Metadata; None if there is none yet.
        pipeline: the recipe's name.

    Raises:
        ModelError: no model was judged yet, or the verdict was removed.
    """
    provenance = Provenance(store, pipeline)
    gate = next(iter(reversed(list(provenance.of_kind(GATE)))), None)
    if gate is None and any(provenance.judged()):
        raise ModelError(f'no run of {pipeline} has kept its reasons yet; the next one does')
    if gate is None:
        raise ModelError(f'{pipeline} has judged no model yet; run does that')
    model, baseline = gate.input('model'), gate.input('baseline_model')
    assert model is not None  # a gate has one
    verdict = _read(gate)
    override = read_override(folder_of(model.uri))
    return Why(
        recipe=pipeline,
        run=provenance.run_id(gate),
        when=gate.ended,
        model=model.uri,
        version=_version(provenance, model),
        baseline=baseline.uri if baseline else None,
        baseline_version=_version(provenance, baseline) if baseline else None,
        blessed=override.blessed if override else verdict.blessed,
        verdict=verdict,
        deeds=_with_override(tuple(_actions(provenance, model)), override),
    )


def as_text(why: Why) -> RenderableType:
    """For a person."""
    head = Text()
    head.append(*(('BLESSED', 'bold green') if why.blessed else ('NOT BLESSED', 'bold red')))
    head.append(f': the model that run {why.run} judged, {why.when:%Y-%m-%d %H:%M:%S %Z}\n')
    head.append(f'model: {why.model}{_as_version(why.version)}\n')
    compared = why.baseline or 'no blessed model was there before'
    head.append(f'compared with: {compared}{_as_version(why.baseline_version)}\n')
    rulings = Table(box=None, pad_edge=False, show_header=False)
    for each in why.verdict.rulings:
        vote, style = _VOTES[each.passed]
        rulings.add_row(Text(vote, style), Text(each.reason))
    parts: list[RenderableType] = [head, rulings]
    if why.deeds:
        said = 'the rules say yes' if why.verdict.blessed else 'the rules say no'
        parts.append(Text(f'\nby hand ({said}):'))
    parts += [
        Text(f'  {each.when:%Y-%m-%d %H:%M:%S %Z}, {each.person}: {each.what}: {each.reason}')
        for each in why.deeds
    ]
    return Group(*parts)


def as_json(why: Why) -> str:
    """For programs."""
    values = {**dataclasses.asdict(why), 'verdict': why.verdict.model_dump()}
    return json.dumps(values, indent=1, default=plain)


def _as_version(version: str | None) -> str:
    return f' (version {version})' if version else ''


def _read(gate: Node) -> Verdict:
    artifact = gate.output(VERDICT)
    assert artifact is not None  # a gate gives one
    folder = folder_of(artifact.uri)
    try:
        return read_verdict(folder)
    except OSError as error:
        raise ModelError(f'the last verdict is gone from {folder}: {error.strerror}') from error
    except ValueError as error:
        raise ModelError(f'the last verdict, in {folder}, is damaged') from error


def _version(provenance: Provenance, model: metadata_store_pb2.Artifact) -> str | None:
    """The last version that was made of a model."""
    versions = [
        str(version_of(node))
        for node in provenance.pushed()
        if any(each.id == model.id for each in node.inputs.get('model', ()))
    ]
    return versions[-1] if versions else None


def _actions(provenance: Provenance, model: metadata_store_pb2.Artifact) -> Iterator[ManualAction]:
    for node in provenance.nodes:
        withdrawn = custom_property(node.execution, WITHDRAWN) == model.id
        if node.kind in _ACTIONS and (withdrawn or _is_about(node, model)):
            what = _ACTIONS[UNBLESS if withdrawn else node.kind]
            noted = node.execution.custom_properties
            person, reason = (noted[key].string_value for key in ('person', 'reason'))
            yield ManualAction(what, node.ended, person, reason)


def _with_override(
    actions: tuple[ManualAction, ...], override: ManualOverride | None
) -> tuple[ManualAction, ...]:
    """Adds the override if it was not recorded, as by a process that was killed before it could."""
    if override is None:
        return actions
    what = _ACTIONS[BLESS if override.blessed else UNBLESS]
    last = ManualAction(what, override.moment, override.person, override.reason)
    if any((each.what, each.reason) == (last.what, last.reason) for each in actions):
        return actions
    return (*actions, last)


def _is_about(action: Node, model: metadata_store_pb2.Artifact) -> bool:
    """Whether a model, or a blessing of it, was the input."""
    given: list[Any] = [each for those in action.inputs.values() for each in those]
    return any(model.id in (each.id, model_id_of(each)) for each in given)

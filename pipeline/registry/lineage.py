"""Where a pushed model comes from, as far back as ML Metadata knows. Imports no TFX."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.markup import escape
from rich.tree import Tree

from common.errors import ModelError
from pipeline.registry.provenance import (
    EVALUATOR,
    Node,
    Provenance,
    destination_of,
    plain,
    version_of,
)
from trainer.config.train import TrainConfig

_NAMED = 10  # versions in an error
_ARCHITECTURE = ('alpha', 'head.hidden')  # has to be equal for weights to fit


@dataclasses.dataclass(frozen=True)
class Ancestor:
    """A model, and what it was made of.

    Attributes:
        artifact: where the Trainer left it.
        version: the one that was asked for, else of the first push; None if it was never pushed.
        destination: the folder of that version.
        pushed: when that was.
        run: the pipeline run that trained it.
        trained: when that ended.
        spans: numbers of the spans it was trained on, with their fingerprints.
        code: hash of the code that trained it.
        weights: what the backbone would start from without a warm start; for a file, embedded or
            given, also the digest of what was in it.
        hyperparameters: the `trainer:` part that it was trained with.
        tuned: where the best values of a Tuner are, which replaced some of these; or None.
    """

    artifact: str
    version: str | None
    destination: str | None
    pushed: datetime.datetime | None
    run: str
    trained: datetime.datetime
    spans: Mapping[int, str]
    code: str
    weights: str
    hyperparameters: Mapping[str, Any]
    tuned: str | None


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A pushed model, those it continues from, and the one that it had to beat.

    Attributes:
        model: itself.
        parents: the model whose weights it started from, that one's, and so on.
        baseline: the live model when it was evaluated; None if there was none.
    """

    model: Ancestor
    parents: tuple[Ancestor, ...]
    baseline: Ancestor | None


def trace(store: MetadataStore | None, pipeline: str, model: str) -> Lineage:
    """Follows a pushed model back.

    Args:
        store: ML Metadata; None if there is none yet.
        pipeline: the recipe's name.
        model: a version, or the path of one in the serving directory.

    Raises:
        ModelError: it is neither.
    """
    provenance = Provenance(store, pipeline)
    pusher = _find(provenance, pipeline, model)
    pushed = pusher.input('model')
    if pushed is None:
        raise ModelError(f'{model} was put there by hand: nothing is known of its model')
    return lineage_of(provenance, pushed, pusher)


def lineage_of(
    provenance: Provenance, model: metadata_store_pb2.Artifact, pusher: Node | None = None
) -> Lineage:
    """Follows a model back that a Trainer made, whether it was pushed or not."""
    parents = []
    parent = _parent(provenance, model)
    while parent is not None:
        parents.append(_ancestor(provenance, parent))
        parent = _parent(provenance, parent)
    baselines = [
        node.input('baseline_model')
        for node in provenance.of_kind(EVALUATOR)
        if _id(node.input('model')) == model.id
    ]
    baseline = next((each for each in baselines if each is not None), None)
    return Lineage(
        _ancestor(provenance, model, pusher),
        tuple(parents),
        None if baseline is None else _ancestor(provenance, baseline),
    )


def as_tree(lineage: Lineage) -> Tree:
    """The same for a person."""
    model = lineage.model
    tree = Tree(f'[bold]version {model.version}[/bold], {escape(str(model.destination))}')
    if model.pushed:
        tree.add(f'pushed {model.pushed:%Y-%m-%d %H:%M:%S %Z}')
    _add_origin(tree, model)
    baseline = lineage.baseline
    tree.add(f'compared with {_name(baseline)}' if baseline else 'compared with no earlier model')
    if not lineage.parents:
        tree.add(f'started from weights: {escape(model.weights)}')
        return tree
    branch = tree.add('started from the weights of')
    for parent in lineage.parents:
        _add_origin(branch.add(f'[bold]{escape(_name(parent))}[/bold]'), parent)
    branch.add(f'weights: {escape(lineage.parents[-1].weights)}')
    return tree


def as_json(lineage: Lineage) -> str:
    """The same for programs."""
    return json.dumps(dataclasses.asdict(lineage), indent=1, default=plain)


def _add_origin(tree: Tree, model: Ancestor) -> None:
    tree.add(f'trained by run {model.run}, ended {model.trained:%Y-%m-%d %H:%M:%S %Z}')
    spans = tree.add('images')
    for number, fingerprint in model.spans.items():
        spans.add(f'span {number}, fingerprint {fingerprint[:12]}')
    tree.add(f'code {model.code}')
    changed = _changed(model.hyperparameters, TrainConfig().model_dump(mode='json'))
    values = tree.add(f'hyperparameters{"" if changed else ": the defaults"}')
    for key, value in changed.items():
        values.add(escape(f'{key}: {value}'))
    if model.tuned:
        tree.add(f'and those that a search found: {escape(model.tuned)}')


def _changed(
    values: Mapping[str, Any], usual: Mapping[str, Any], prefix: str = ''
) -> dict[str, Any]:
    """Values that are not the default, by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(usual.get(key), dict):
            found.update(_changed(value, usual[key], f'{prefix}{key}.'))
        elif value != usual.get(key):
            found[prefix + key] = value
    return found


def _name(model: Ancestor) -> str:
    return f'version {model.version}' if model.version else f'the model in {model.artifact}'


def _find(provenance: Provenance, pipeline: str, model: str) -> Node:
    """The Pusher of a version, or of the folder of one."""
    pushers = provenance.pushed()
    places = {destination_of(each): each for each in pushers}
    versions = {str(version_of(each)): each for each in pushers}
    found = places.get(str(Path(model).absolute())) or versions.get(model)
    if found is None:
        known = ', '.join(list(versions)[-_NAMED:])
        raise ModelError(
            f'{model} is no model that {pipeline} has pushed; '
            + (f'known versions: {known}' if known else 'it has pushed none')
        )
    return found


def _parent(
    provenance: Provenance, model: metadata_store_pb2.Artifact
) -> metadata_store_pb2.Artifact | None:
    """The model whose weights a training started from; it does not if they do not fit."""
    trainer = provenance.producer(model)
    base = trainer.input('base_model') if trainer else None
    before = provenance.producer(base)
    if trainer is None or before is None:
        return base
    mine, others = _config(trainer), _config(before)
    same = mine.get('classes') == others.get('classes') and all(
        _value(mine, key) == _value(others, key) for key in _ARCHITECTURE
    )
    return base if same else None


def _ancestor(
    provenance: Provenance, model: metadata_store_pb2.Artifact, pusher: Node | None = None
) -> Ancestor:
    trainer = provenance.producer(model)
    config = _config(trainer) if trainer else {}
    pushers = (each for each in provenance.pushed() if _id(each.input('model')) == model.id)
    pusher = pusher or next(pushers, None)
    tuned = trainer.input('hyperparameters') if trainer else None
    return Ancestor(
        artifact=model.uri,
        version=str(version_of(pusher)) if pusher else None,
        destination=destination_of(pusher) if pusher else None,
        pushed=pusher.ended if pusher else None,
        run=provenance.run_id(trainer) if trainer else '',
        trained=trainer.ended if trainer else datetime.datetime.min,
        spans=provenance.trained_on(model),
        code=config.get('code', ''),
        weights=_weights(config),
        hyperparameters=config.get('train', {}),
        tuned=tuned.uri if tuned else None,
    )


def _config(trainer: Node) -> dict[str, Any]:
    """What `pipeline.graph` gives a Trainer besides its inputs."""
    value = trainer.execution.custom_properties.get('custom_config')
    return dict(json.loads(value.string_value) or {}) if value else {}


def _weights(config: Mapping[str, Any]) -> str:
    """What the recipe called the weights, and the digest of the file if there was one."""
    content, name = config.get('weights', ''), _value(config, 'weights')
    return content if name in (None, content) else f'{name} ({content})'


def _value(config: Mapping[str, Any], dotted: str) -> Any:
    value: Any = config.get('train', {})
    for key in dotted.split('.'):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _id(artifact: metadata_store_pb2.Artifact | None) -> int | None:
    return artifact.id if artifact else None

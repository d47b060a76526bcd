"""Lineage of a pushed model in ML Metadata: spans, code, warm start, baseline. Imports no TFX."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact
from rich.markup import escape
from rich.tree import Tree

from common.errors import ModelError
from pipeline.formatting import dotted
from pipeline.registry.provenance import (
    EVALUATOR,
    Node,
    Provenance,
    destination_of,
    version_of,
)
from trainer.config.train import TrainConfig

_MAX_LISTED = 10  # versions in an error message
_ARCHITECTURE = ('alpha', 'head.hidden')  # keys that must be equal for a warm start


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model of the Trainer, with its training and its push.

    Attributes:
        artifact: URI of the model.
        version: the requested version, else the first one pushed; None if it was never pushed.
        destination: the folder of that version.
        pushed: time of the push.
        run: the pipeline run that trained it.
        trained: end of the training.
        spans: fingerprints of the spans that it was trained on, by span number.
        code: hash of the training code.
        weights: initial weights of the backbone without a warm start; for a file, embedded or
            given, followed by the digest of its contents.
        hyperparameters: the `trainer:` part of the recipe that trained it.
        tuned: URI of the Tuner's best hyperparameters, which replaced some of these; None without a
            Tuner.
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
    """A model, its warm-start parents and its baseline.

    Attributes:
        model: the model.
        parents: the model that it was warm-started from, the parent of that model, and so on.
        baseline: the live model at the time of the evaluation; None if there was none.
    """

    model: TrainedModel
    parents: tuple[TrainedModel, ...]
    baseline: TrainedModel | None


def trace(store: MetadataStore | None, pipeline: str, model: str) -> Lineage:
    """The lineage of a pushed model.

    Args:
        store: ML Metadata; None if there is none yet.
        pipeline: name of the recipe.
        model: a version, or the path of a version in the serving folder.

    Raises:
        ModelError: the pipeline has not pushed this model.
    """
    provenance = Provenance(store, pipeline)
    pusher = _find(provenance, pipeline, model)
    pushed = pusher.input('model')
    if pushed is None:
        raise ModelError(f'{model} was copied there manually; nothing is known of its model')
    return lineage_of(provenance, pushed, pusher)


def lineage_of(provenance: Provenance, model: Artifact, pusher: Node | None = None) -> Lineage:
    """The lineage of a model of the Trainer, pushed or not."""
    parents = []
    parent = _parent(provenance, model)
    while parent is not None:
        parents.append(_describe(provenance, parent))
        parent = _parent(provenance, parent)
    baselines = (
        node.input('baseline_model') for node in provenance.of_kind(EVALUATOR) if node.uses(model)
    )
    baseline = next((each for each in baselines if each is not None), None)
    return Lineage(
        _describe(provenance, model, pusher),
        tuple(parents),
        None if baseline is None else _describe(provenance, baseline),
    )


def as_tree(lineage: Lineage) -> Tree:
    """The lineage, formatted for the console."""
    model = lineage.model
    tree = Tree(f'[bold]version {model.version}[/bold], {escape(str(model.destination))}')
    if model.pushed:
        tree.add(f'pushed {model.pushed:%Y-%m-%d %H:%M:%S %Z}')
    _add_training(tree, model)
    baseline = lineage.baseline
    tree.add(f'compared with {_name(baseline)}' if baseline else 'compared with no earlier model')
    if not lineage.parents:
        tree.add(f'started from weights: {escape(model.weights)}')
        return tree
    branch = tree.add('warm start from')
    for parent in lineage.parents:
        _add_training(branch.add(f'[bold]{escape(_name(parent))}[/bold]'), parent)
    branch.add(f'weights: {escape(lineage.parents[-1].weights)}')
    return tree


def _add_training(tree: Tree, model: TrainedModel) -> None:
    tree.add(f'trained by run {model.run}, ended {model.trained:%Y-%m-%d %H:%M:%S %Z}')
    spans = tree.add('images')
    for number, fingerprint in model.spans.items():
        spans.add(f'span {number}, fingerprint {fingerprint[:12]}')
    tree.add(f'code {model.code}')
    defaults = dotted(TrainConfig().model_dump(mode='json'))
    changed = {
        key: value
        for key, value in dotted(model.hyperparameters).items()
        if value != defaults.get(key)
    }
    values = tree.add(f'hyperparameters{"" if changed else ": the defaults"}')
    for key, value in changed.items():
        values.add(escape(f'{key}: {value}'))
    if model.tuned:
        tree.add(f'tuned hyperparameters: {escape(model.tuned)}')


def _name(model: TrainedModel) -> str:
    return f'version {model.version}' if model.version else f'the model in {model.artifact}'


def _find(provenance: Provenance, pipeline: str, model: str) -> Node:
    """The execution that pushed a version, given by its number or folder."""
    pushers = provenance.pushed()
    folders = {destination_of(each): each for each in pushers}
    versions = {str(version_of(each)): each for each in pushers}
    found = folders.get(str(Path(model).absolute())) or versions.get(model)
    if found is None:
        known = ', '.join(list(versions)[-_MAX_LISTED:])
        raise ModelError(
            f'{pipeline} has pushed no version {model}; '
            + (f'known versions: {known}' if known else 'it has pushed none')
        )
    return found


def _parent(provenance: Provenance, model: Artifact) -> Artifact | None:
    """The model of the warm start; None if its weights did not fit or there was none."""
    trainer = provenance.producer(model)
    base = trainer.input('base_model') if trainer else None
    base_trainer = provenance.producer(base)
    if trainer is None or base_trainer is None:
        return base
    one, other = _custom_config(trainer), _custom_config(base_trainer)
    same_shape = all(_train_value(one, key) == _train_value(other, key) for key in _ARCHITECTURE)
    return base if same_shape and one.get('classes') == other.get('classes') else None


def _describe(provenance: Provenance, model: Artifact, pusher: Node | None = None) -> TrainedModel:
    trainer = provenance.producer(model)
    config = _custom_config(trainer) if trainer else {}
    pusher = pusher or next((each for each in provenance.pushed() if each.uses(model)), None)
    tuned = trainer.input('hyperparameters') if trainer else None
    return TrainedModel(
        artifact=model.uri,
        version=str(version_of(pusher)) if pusher else None,
        destination=destination_of(pusher) if pusher else None,
        pushed=pusher.ended if pusher else None,
        run=provenance.run_id(trainer) if trainer else '',
        trained=trainer.ended if trainer else datetime.datetime.min,
        spans=provenance.training_spans(model),
        code=config.get('code', ''),
        weights=_weights(config),
        hyperparameters=config.get('train', {}),
        tuned=tuned.uri if tuned else None,
    )


def _custom_config(trainer: Node) -> dict[str, Any]:
    """The `custom_config` that `pipeline.graph` gives to the Trainer."""
    value = trainer.execution.custom_properties.get('custom_config')
    return dict(json.loads(value.string_value) or {}) if value else {}


def _weights(config: Mapping[str, Any]) -> str:
    """The recipe's value of `trainer.weights`, with the digest of a weights file."""
    content, name = config.get('weights', ''), _train_value(config, 'weights')
    return content if name in (None, content) else f'{name} ({content})'


def _train_value(config: Mapping[str, Any], key: str) -> Any:
    return dotted(config.get('train', {})).get(key)

"""Lineage of a model in ML Metadata: spans, code, warm start, baseline. Imports no TFX."""

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import Artifact
from rich.markup import escape
from rich.tree import Tree

from common.artifacts import LocalUri
from common.errors import ModelError
from common.metadata_queries import Node, custom_property
from components.pusher.serving_folder import find_model, read_note, versions_in
from pipeline.code_version import COMMIT
from pipeline.formatting import dotted
from pipeline.registry.provenance import Provenance, training_config
from trainer.config.train import TrainConfig


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model of the Trainer, with its training and its push."""

    artifact: LocalUri
    # The requested version, else the last one with this model; None if the folder has none
    version: str | None
    destination: str | None
    pushed: datetime.datetime | None
    run: str  # the pipeline run that trained it
    trained: datetime.datetime
    spans: Mapping[int, str]  # fingerprints of the spans that it was trained on, by span number
    code: str
    # Initial weights of the backbone without a warm start; for a file, embedded or given, followed
    # by the digest of its contents
    weights: str
    hyperparameters: Mapping[str, Any]  # the `trainer:` part of the recipe that trained it
    tuned: str | None  # URI of the Tuner's best hyperparameters, which replaced some of these
    data: str | None  # source and place of the images
    classes: tuple[str, ...]  # in label order
    commit: str | None  # of this project, if it ran from a checkout with git

    @property
    def name(self) -> str:
        """`version 7`, or the URI of a model that was not pushed."""
        return f'version {self.version}' if self.version else f'the model in {self.artifact}'


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A model, its warm-start parents from the last to the first, and its baseline."""

    model: TrainedModel
    parents: tuple[TrainedModel, ...]
    baseline: TrainedModel | None


def trace(provenance: Provenance, serving: Path, version: str | None) -> Lineage:
    """The lineage of a version in the serving folder, by default the live one; or its folder.

    Raises:
        ModelError: there is no such version, or its model is not in the metadata.
    """
    folder = find_model(serving, version)
    model = provenance.model_of(folder)
    if model is None:
        raise ModelError(
            f'the metadata do not have the model of {folder}: it was copied there, or the workdir '
            'was moved and no run has followed yet'
        )
    return lineage_of(provenance, model, serving, folder)


def lineage_of(
    provenance: Provenance, model: Artifact, serving: Path, version: Path | None = None
) -> Lineage:
    """The lineage of a model of the Trainer, pushed or not."""
    versions = {
        each.uri: folder for folder in versions_in(serving) if (each := provenance.model_of(folder))
    }
    if version:
        versions[model.uri] = version

    def describe(described: Artifact) -> TrainedModel:
        return _describe(provenance, described, versions.get(described.uri))

    parents = []
    parent = _parent(provenance, model)
    while parent is not None:
        parents.append(describe(parent))
        parent = _parent(provenance, parent)
    decision = provenance.decision(model)
    baseline = decision.input('baseline_model') if decision else None
    return Lineage(
        describe(model), tuple(parents), None if baseline is None else describe(baseline)
    )


def as_tree(lineage: Lineage) -> Tree:
    """The lineage, formatted for the console."""
    model, baseline = lineage.model, lineage.baseline
    tree = Tree(f'[bold]{model.name}[/bold], {escape(str(model.destination))}')
    if model.pushed:
        tree.add(f'pushed {model.pushed:%Y-%m-%d %H:%M:%S %Z}')
    _add_training(tree, model)
    tree.add(escape(f'compared with {baseline.name if baseline else "no earlier model"}'))
    if not lineage.parents:
        tree.add(f'started from weights: {escape(model.weights)}')
        return tree
    branch = tree.add('warm start from')
    for parent in lineage.parents:
        _add_training(branch.add(f'[bold]{escape(parent.name)}[/bold]'), parent)
    branch.add(f'weights: {escape(lineage.parents[-1].weights)}')
    return tree


def _add_training(tree: Tree, model: TrainedModel) -> None:
    tree.add(f'trained by run {model.run}, ended {model.trained:%Y-%m-%d %H:%M:%S %Z}')
    spans = tree.add(escape(f'images of {model.data}' if model.data else 'images'))
    for number, fingerprint in model.spans.items():
        spans.add(f'span {number}, fingerprint {fingerprint[:12]}')
    if model.classes:
        tree.add(escape(f'classes: {", ".join(model.classes)}'))
    tree.add(f'code {model.code}{f", git commit {model.commit}" if model.commit else ""}')
    defaults = dotted(TrainConfig().model_dump(mode='json'))
    values = dotted(model.hyperparameters).items()
    changed = [f'{key}: {value}' for key, value in values if value != defaults.get(key)]
    branch = tree.add('changed hyperparameters' if changed else 'hyperparameters: the defaults')
    for each in changed:
        branch.add(escape(each))
    if model.tuned:
        tree.add(f'tuned hyperparameters: {escape(model.tuned)}')


def _parent(provenance: Provenance, model: Artifact) -> Artifact | None:
    """The model of the warm start; None if its weights did not fit or there was none."""
    trainer = provenance.producer(model)
    base = trainer.input('base_model') if trainer else None
    base_trainer = provenance.producer(base)
    if base_trainer is None or _architecture(trainer) == _architecture(base_trainer):
        return base
    return None


def _architecture(trainer: Node | None) -> tuple[Any, ...]:
    """Values that two models must share for a warm start."""
    config = training_config(trainer)
    train = dotted(config.get('train', {}))
    return config.get('classes'), train.get('alpha'), train.get('head.hidden')


def _describe(provenance: Provenance, model: Artifact, version: Path | None) -> TrainedModel:
    trainer = provenance.producer(model)
    config = training_config(trainer)
    train, weights = config.get('train', {}), config.get('weights', '')
    chosen = train.get('weights', weights)  # `weights` is the digest if this is a file
    tuned = trainer.input('hyperparameters') if trainer else None
    note = read_note(version) if version else None
    return TrainedModel(
        artifact=model.uri,
        version=version.name if version else None,
        destination=str(version) if version else None,
        pushed=note.pushed if note else None,
        run=provenance.run_id(trainer),
        trained=trainer.ended if trainer else datetime.datetime.min,
        spans=provenance.training_spans(model),
        code=config.get('code', ''),
        weights=weights if chosen == weights else f'{chosen} ({weights})',
        hyperparameters=train,
        tuned=tuned.uri if tuned else None,
        data=provenance.data_of(model),
        classes=tuple(config.get('classes', ())),
        commit=custom_property(trainer.execution, COMMIT) if trainer else None,
    )

"""Lineage of a model in ML Metadata: spans, code, warm start, reference. Imports no TFX."""

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.errors import ModelError
from common.metadata_queries import Node
from common.mirror import uri_of
from components.pusher.serving_folder import find_model, versions_in
from pipeline.formatting import dotted
from pipeline.models.provenance import TRAINER, Provenance, training_config
from trainer.config.train import TrainConfig


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model of the Trainer, with its training."""

    artifact: str  # URI
    # The requested version, else the last one with this model; None if the folder has none
    version: str | None
    run: str  # the pipeline run that trained it; empty if it was only in the serving folder
    trained: datetime.datetime
    data: str | None  # source and place of the images
    spans: Mapping[int, str]  # fingerprints of the spans that it was trained on, by span number
    classes: tuple[str, ...]  # in label order
    code: str
    # Initial weights of the backbone without a warm start; for a file, embedded or given, followed
    # by the digest of its contents
    weights: str
    changed: Mapping[str, Any]  # hyperparameters that are not the defaults, by dotted key
    tuned: str | None  # URI of the Tuner's best hyperparameters, which replaced some of these


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A model, its warm-start parents from the last to the first, and its reference model."""

    model: TrainedModel
    parents: tuple[TrainedModel, ...]
    reference: TrainedModel | None


def trace(provenance: Provenance, serving: Path, version: str | None) -> Lineage:
    """The lineage of a version in the serving folder, by default the live one; or its folder.

    Raises:
        ModelError: there is no such version, or its model is not in the metadata.
    """
    folder = find_model(serving, version)
    model = provenance.model_of(folder)
    if model is None:
        raise ModelError(
            f'the metadata do not have the model of {uri_of(folder)}: it was copied there, or the '
            'workdir was moved and no run has followed yet'
        )
    found = lineage_of(provenance, model, serving)
    return dataclasses.replace(found, model=dataclasses.replace(found.model, version=folder.name))


def lineage_of(provenance: Provenance, model: Artifact, serving: Path) -> Lineage:
    """The lineage of a model of the Trainer, pushed or not."""
    versions = {
        each.uri: folder.name
        for folder in versions_in(serving)
        if (each := provenance.model_of(folder))
    }
    models = [model]
    while (parent := _parent(provenance, models[-1])) is not None:
        models.append(parent)
    decision = provenance.decision(model)
    reference = decision.input('reference_model') if decision else None
    described, *parents = (_describe(provenance, each, versions.get(each.uri)) for each in models)
    return Lineage(
        described,
        tuple(parents),
        _describe(provenance, reference, versions.get(reference.uri)) if reference else None,
    )


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
    keys = ('backbone', 'model', 'alpha', 'head.hidden')
    return config.get('classes'), *(train.get(key) for key in keys)


def _describe(provenance: Provenance, model: Artifact, version: str | None) -> TrainedModel:
    trainer = provenance.producer(model)
    config = training_config(trainer)
    train, weights = config.get('train', {}), config.get('weights', '')
    chosen = train.get('weights', weights)  # `weights` is the digest if this is a file
    defaults = dotted(TrainConfig().model_dump(mode='json'))
    tuned = trainer.input('hyperparameters') if trainer else None
    return TrainedModel(
        artifact=model.uri,
        version=version,
        run=provenance.run_of(trainer).name if trainer and trainer.kind == TRAINER else '',
        trained=trainer.ended if trainer else datetime.datetime.min,
        data=provenance.data_of(model),
        spans=provenance.training_spans(model),
        classes=tuple(config.get('classes', ())),
        code=config.get('code', ''),
        weights=weights if chosen == weights else f'{chosen} ({weights})',
        changed={key: each for key, each in dotted(train).items() if each != defaults.get(key)},
        tuned=tuned.uri if tuned else None,
    )

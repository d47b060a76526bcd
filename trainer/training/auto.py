"""Chooses how deep and how long to fine-tune, where `trainer.fine_tune` has `auto`.

The more mistakes the head alone makes, the less the features of the frozen layers fit the images.
Of rules that cost no training of their own, on 15 sets of images, with five depths, three lengths
and three rates, this one loses least: `docs/decisions/0022-auto-fine-tuning.md`.
"""

import dataclasses
import logging

import numpy as np

from trainer.config.train import DEEP, DEEP_AND_LONG, SHALLOW
from trainer.model.network import Network
from trainer.results import FineTuningChoice
from trainer.training.job import Job

# Values, and up to which share of mistakes of the head on the validation split.
_STEPS = ((0.05, SHALLOW), (0.6, DEEP), (1.0, DEEP_AND_LONG))

_log = logging.getLogger(__name__)


def settle(job: Job, live: FineTuningChoice | None) -> Job:
    """Replaces `auto` by the choice of the live model.

    If there is none for these classes, this network and these keys, the job has the values of
    shallow fine-tuning until its head is trained.
    """
    keys = job.config.fine_tune.auto
    if not keys:
        return job
    basis = {'keys': [*keys], 'network': job.config.network, 'classes': [*job.classes]}
    if live and live.basis == basis:
        config = job.config.without_auto(live.values)
        _log.info('fine-tuning as chosen for the live model: %s', live.reason)
        return dataclasses.replace(job, config=config, choice=live)
    return dataclasses.replace(job, config=job.config.without_auto(SHALLOW), undecided=basis)


def decide(
    job: Job, network: Network, mistakes: float, *, warm: bool = False
) -> tuple[Job, Network]:
    """Chooses by the share of mistakes of the head on the validation split.

    Returns the job with the values, and the network with the boundary, of the fine-tuning. After a
    warm start the head has fewer mistakes, since what is below it was fine-tuned: such a choice has
    no basis, so that no later training takes it over.
    """
    assert job.undecided
    stage = next(values for most, values in _STEPS if mistakes <= most)
    values = {key: stage[key] for key in job.undecided['keys']}
    config = job.config.replaced({f'fine_tune.{key}': value for key, value in values.items()})
    backbone = network.backbone.before(config.fine_tune)
    layers = backbone.model.layers[backbone.first_trained :]
    layer = next((each.name for each in layers if each.weights), layers[0].name)
    reason = (
        f'the head alone is wrong for {mistakes:.1%} of the validation images, mean of classes: '
        f'trains from {layer} on, {config.fine_tune.epochs} epochs at most, '
        f'rate {config.fine_tune.learning_rate:g}'
    )
    _log.info(reason)
    choice = FineTuningChoice(
        basis={} if warm else dict(job.undecided), values=values, reason=reason
    )
    job = dataclasses.replace(job, config=config, undecided=None, choice=choice)
    return job, dataclasses.replace(network, backbone=backbone)


def share_of_mistakes(logits: np.ndarray | None, labels: np.ndarray) -> float:
    """Returns the mean over the classes of the share of their images that are mistaken.

    Takes logits, [n, 1] or [n, classes], and labels, [n]; 1 if there are no finite logits.
    """
    if logits is None:
        return 1.0
    predicted = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
    return float(np.mean([(predicted[labels == n] != n).mean() for n in np.unique(labels)]))

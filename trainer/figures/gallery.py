"""Writes the figures of a training: curves, training images, augmented views, network diagram."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.data import augmentation
from trainer.figures.network_diagram import write_architecture
from trainer.figures.training_plots import MAX_IMAGES, write_curves, write_image_grid
from trainer.training.job import Job
from trainer.training.stage_history import StageHistory
from trainer.training.stages import Network

_VIEWS = 11


def draw_gallery(
    directory: Path, job: Job, network: Network, histories: Sequence[StageHistory]
) -> None:
    """Writes all figures to `directory`; the augmented views only if augmentation is enabled."""
    directory.mkdir(parents=True, exist_ok=True)
    write_curves(histories, directory / 'curves.svg')
    split, config = job.splits['train'], job.config
    shuffled = split.shuffled_batches(min(split.count, MAX_IMAGES), epochs=1, seed=config.seed)
    images, labels = next(shuffled.as_numpy_iterator())
    names = [job.classes[int(label)] for label in labels.ravel()]
    write_image_grid(images, names, directory / 'training_images.png', 'training images')
    if config.augment.active:
        copies = tf.repeat(images[:1], _VIEWS, axis=0)
        views = augmentation.augment(copies, config.augment, tf.constant([config.seed, 0]))
        write_image_grid(
            np.concatenate([images[:1], views]),
            [names[0], *(f'view {number}' for number in range(1, _VIEWS + 1))],
            directory / 'augmented_views.png',
            'one training image and augmented views of it',
        )
    backbone = network.backbone
    write_architecture(
        backbone.model, network.head, backbone.first_trained, directory / 'architecture.svg'
    )

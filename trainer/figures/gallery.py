"""What remains of a training to look at: curves, training images, augmented views, the network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.config.train import AugmentConfig
from trainer.data import augmentation
from trainer.figures.network_diagram import write_architecture
from trainer.figures.training_plots import MOST_IMAGES, write_curves, write_image_grid
from trainer.training.job import Job
from trainer.training.stage_history import StageHistory
from trainer.training.stages import Network

CURVES, IMAGES, VIEWS, ARCHITECTURE = (
    'curves.svg',
    'training_images.png',
    'augmented_views.png',
    'architecture.svg',
)
_VIEWS_SHOWN = 11


def draw_gallery(
    directory: Path, job: Job, network: Network, histories: Sequence[StageHistory]
) -> None:
    """Writes the pictures; the one of augmented views only if images are augmented."""
    directory.mkdir(parents=True, exist_ok=True)
    write_curves(histories, directory / CURVES)
    images, labels = _some_images(job)
    names = [job.classes[int(label)] for label in labels]
    write_image_grid(images, names, directory / IMAGES, 'training images')
    if job.config.augment.active:
        views = augmented_views(images[0], job.config.augment, job.config.seed)
        captions = [names[0]] + [f'view {number + 1}' for number in range(len(views))]
        write_image_grid(
            np.concatenate([images[:1], views]),
            captions,
            directory / VIEWS,
            'one training image and augmented views of it',
        )
    backbone = network.backbone
    first_trained = (
        backbone.whole.layers[backbone.first_trained].name if job.config.fine_tune.epochs else None
    )
    write_architecture(backbone.whole, network.head, first_trained, directory / ARCHITECTURE)


def augmented_views(image: np.ndarray, config: AugmentConfig, seed: int) -> np.ndarray:
    """Views of one image, uint8 [size, size, 3], as training draws them: [11, size, size, 3]."""
    copies = tf.repeat(image[np.newaxis], _VIEWS_SHOWN, axis=0)
    return augmentation.augment(copies, config, tf.constant([seed, 0])).numpy()


def _some_images(job: Job) -> tuple[np.ndarray, np.ndarray]:
    split = job.splits['train']
    shown = min(split.count, MOST_IMAGES)
    batches = split.shuffled_batches(shown, epochs=1, seed=job.config.seed)
    images, labels = next(iter(batches))
    return images.numpy(), labels.numpy().ravel()

"""Pretraining: MobileNetV2 learns to classify figure, background and coat of a scene.

Three heads share the pooled features and are discarded after the training, as in Kataoka et al.
Two of them classify textures, because the outline is enough to classify a figure.
"""

import logging
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import console
from common.errors import RunError
from pretraining.collection import Collection
from pretraining.network import build_backbone
from pretraining.scenes import Drawings, compose
from pretraining.settings import Settings

TEXTURE_SHARE = 0.25  # weight of grounds, and of coats, in the loss; that of figures is 1
_PEAK_NORM = 5.0  # gradient clipping
_MEMORY = 0.98  # decay of the running accuracies per step
_REPORTS = 40

_log = logging.getLogger(__name__)


class Pretraining(tf.Module):
    """The state of a pretraining, saved and restored as one checkpoint."""

    def __init__(self, settings: Settings, collection: Collection) -> None:
        super().__init__()
        keras.utils.set_random_seed(settings.seed)
        self.settings = settings
        self._collection = collection
        self.backbone = build_backbone(settings.size)
        classes = [len(collection.figures), *[len(collection.textures)] * 2]
        self.heads = [keras.layers.Dense(number) for number in classes]
        for head in self.heads:
            head.build((None, self.backbone.output_shape[-1]))
        self.variables_ = [
            *self.backbone.trainable_variables,
            *(variable for head in self.heads for variable in head.trainable_variables),
        ]
        self.optimizer = keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay, beta_2=0.99
        )
        self.optimizer.build(self.variables_)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.difficulty = tf.Variable(0.0)
        self.loss = tf.Variable(0.0)
        self.accuracies = tf.Variable(tf.zeros(3))
        self._learn = tf.function(self._learning_step, autograph=False)

    def advance(self) -> None:
        """Trains one step, with a batch determined by seed and step."""
        settings, step = self.settings, int(self.step)
        self.optimizer.learning_rate.assign(settings.learning_rate_at(step))
        rng = np.random.default_rng((settings.seed, step))
        figures, labels = _pick(self._collection.figures, settings.batch, rng)
        grounds, ground_labels = _pick(self._collection.textures, settings.batch, rng)
        coats, coat_labels = _pick(self._collection.textures, settings.batch, rng)
        self._learn(
            figures,
            grounds,
            coats,
            np.stack([labels, ground_labels, coat_labels]),
            np.array([settings.seed * 1000, step], np.int32),
        )

    def in_words(self) -> str:
        """Formats the running accuracies and the difficulty."""
        figures, grounds, coats = self.accuracies.numpy()
        return (
            f'difficulty {float(self.difficulty):.2f}, recognised: '
            f'figures {figures:.2f}, grounds {grounds:.2f}, coats {coats:.2f}'
        )

    def _learning_step(
        self,
        figures: tf.Tensor,
        grounds: tf.Tensor,
        coats: tf.Tensor,
        labels: tf.Tensor,
        seed: tf.Tensor,
    ) -> None:
        drawings = Drawings(figures, grounds, coats)
        scenes = compose(drawings, self.settings.size, seed, self.difficulty)
        with tf.GradientTape() as tape:
            features = tf.reduce_mean(self.backbone(scenes, training=True), [1, 2])
            logits = [head(features) for head in self.heads]
            losses = [
                tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels[k], logits[k]))
                for k in range(3)
            ]
            # The contrast of coats rises with the difficulty: at 0 there is none to learn.
            loss = losses[0] + TEXTURE_SHARE * (losses[1] + self.difficulty * losses[2])
        gradients = tape.gradient(loss, self.variables_)
        gradients, _ = tf.clip_by_global_norm(gradients, _PEAK_NORM)
        self.optimizer.apply_gradients(zip(gradients, self.variables_, strict=True))
        right = tf.stack(
            [
                tf.reduce_mean(tf.cast(tf.math.in_top_k(labels[k], logits[k], 1), tf.float32))
                for k in range(3)
            ]
        )
        self.accuracies.assign(_MEMORY * self.accuracies + (1 - _MEMORY) * right)
        learned = self.accuracies[0] > self.settings.foothold
        change = tf.where(learned, self.settings.pace, -self.settings.pace)
        self.difficulty.assign(tf.clip_by_value(self.difficulty + change, 0.0, 1.0))
        self.loss.assign(loss)
        self.step.assign_add(1)


def _pick(
    drawings: np.ndarray, batch: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Samples drawings and their classes, int32."""
    labels = rng.integers(len(drawings), size=batch)
    return drawings[labels, rng.integers(drawings.shape[1], size=batch)], labels.astype(np.int32)


def pretrain(run: Pretraining, folder: Path) -> None:
    """Trains from the checkpoint in `folder` to the last step; a killed training resumes.

    Raises:
        RunError: the checkpoint cannot be read, or the loss is not finite; the previous
            checkpoint is kept.
    """
    settings = run.settings
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(run=run), str(folder), max_to_keep=1)
    try:
        manager.restore_or_initialize()
    except (tf.errors.OpError, IndexError, ValueError) as error:
        raise RunError(f'the checkpoint in {folder} is damaged; delete it to begin anew') from error
    with console.bar(f'batches of {settings.batch}', settings.steps) as bar:
        bar.advance(int(run.step))
        while int(run.step) < settings.steps:
            run.advance()
            bar.advance(1, f'figures {float(run.accuracies[0]):.2f}')
            _save_and_log(run, manager)


def _save_and_log(run: Pretraining, manager: tf.train.CheckpointManager) -> None:
    done, settings = int(run.step), run.settings
    if done % settings.save_every == 0 or done == settings.steps:
        if not math.isfinite(float(run.loss)):
            raise RunError(
                f'the loss is not finite at step {done}; '
                'a lower rate in pretraining/settings.py may help'
            )
        manager.save()
    if done % math.ceil(settings.steps / _REPORTS) == 0:
        _log.info('step %s of %s: %s', done, settings.steps, run.in_words())

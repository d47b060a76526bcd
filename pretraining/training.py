"""Pretraining: MobileNetV2 learns which figure stands before which ground, and which coat it has.

Three heads share the pooled features and are thrown away in the end, as in Kataoka et al.; two of
them say what texture is seen, since a figure alone is told by its outline.
"""

import dataclasses
import json
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pretraining.collection import Collection, Counts
from pretraining.network import build_backbone
from pretraining.scenes import Drawings, compose
from trainer import progress

TEXTURE_SHARE = 0.25  # of grounds, and of coats, in the loss; that of figures is 1
_PEAK_NORM = 5.0  # a longer gradient is shortened to this
_MEMORY = 0.98  # of the running accuracies, per step
_REPORTS = 40


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that the result follows from.

    Attributes:
        size: of scenes, in pixels.
        steps: of `batch` scenes each.
        warm_up: share of the steps in which the learning rate rises.
        foothold: share of figures recognised from which on scenes become more difficult.
        pace: by how much difficulty rises in a step, or falls below the foothold.
        save_every: steps between checkpoints.
    """

    seed: int = 0
    size: int = 64
    batch: int = 128
    steps: int = 15_000
    learning_rate: float = 3e-3
    warm_up: float = 0.02
    weight_decay: float = 1e-2
    foothold: float = 0.3
    pace: float = 5e-4
    save_every: int = 1000
    counts: Counts = dataclasses.field(default_factory=Counts)


class OtherSettings(ValueError):
    """A folder holds a run that started with other settings; one sentence for a person."""


class Pretraining(tf.Module):
    """A network that learns, and how far it has come; saved and restored as a whole."""

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
        self.accuracies = tf.Variable(tf.zeros(3))
        self._learn = tf.function(self._learning_step, autograph=False)

    def advance(self) -> None:
        """One step: a batch that follows from the seed and the number of the step."""
        settings, step = self.settings, int(self.step)
        self.optimizer.learning_rate.assign(learning_rate(settings, step))
        rng = np.random.default_rng((settings.seed, step))
        figures, labels = _pick(self._collection.figures, settings.batch, rng)
        grounds, ground_labels = _pick(self._collection.textures, settings.batch, rng)
        coats, coat_labels = _pick(self._collection.textures, settings.batch, rng)
        self._learn(
            figures, grounds, coats, np.stack([labels, ground_labels, coat_labels]),
            np.array([settings.seed * 1000, step], np.int32),
        )  # fmt: skip

    def in_words(self) -> str:
        figures, grounds, coats = self.accuracies.numpy()
        return (
            f'recognised: figures {figures:.2f}, grounds {grounds:.2f}, coats {coats:.2f}; '
            f'difficulty {float(self.difficulty):.2f}'
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
            # Coats are as faint as the scenes are easy: at difficulty 0 there are none to learn.
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
        self.step.assign_add(1)


def learning_rate(settings: Settings, step: int) -> float:
    """Rises in a line, then falls to zero along a cosine."""
    warm_up = settings.warm_up * settings.steps
    if step < warm_up:
        return settings.learning_rate * (step + 1) / warm_up
    share = (step - warm_up) / (settings.steps - warm_up)
    return settings.learning_rate * (1 + math.cos(math.pi * share)) / 2


def _pick(
    drawings: np.ndarray, batch: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Drawings at random, and their classes, int32."""
    labels = rng.integers(len(drawings), size=batch)
    return drawings[labels, rng.integers(drawings.shape[1], size=batch)], labels.astype(np.int32)


def pretrain(run: Pretraining, folder: Path) -> None:
    """Goes on from where `folder` says, to the last step. Killed, the same call goes on.

    Raises:
        OtherSettings: `folder` holds a run of other settings.
    """
    settings = run.settings
    _check_same(settings, folder)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(run=run), str(folder), max_to_keep=1)
    manager.restore_or_initialize()
    done = int(run.step)
    with progress.bar('scenes', settings.steps * settings.batch) as bar:
        bar.advance(done * settings.batch)
        while (step := int(run.step)) < settings.steps:
            run.advance()
            bar.advance(settings.batch, run.in_words())
            if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
                manager.save()
            if (step + 1) % math.ceil(settings.steps / _REPORTS) == 0:
                progress.console().print(f'  step {step + 1} of {settings.steps}: {run.in_words()}')


def _check_same(settings: Settings, folder: Path) -> None:
    file, now = folder / 'settings.json', dataclasses.asdict(settings)
    if file.exists() and json.loads(file.read_text()) != now:
        raise OtherSettings(f'{folder} holds a run of other settings; give another --workdir')
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(now, indent=2))

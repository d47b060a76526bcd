"""Two stages of transfer learning on cached tensors: the head alone, then the upper layers too."""

import contextlib
import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from trainer import augmentation, progress
from trainer.activation_cache import CachedTensors
from trainer.backbone import Backbone
from trainer.config import StageConfig, TrainConfig
from trainer.embedding import Embedded, scale
from trainer.inference import inference_copy
from trainer.optimizer import make_optimizer
from trainer.timing import Timings

_EVAL_BATCH = 64


def build_head(config: TrainConfig, channels: int) -> keras.Model:
    """Dropout and a dense layer with one logit, on pooled features [batch, channels]."""
    pooled = keras.Input((channels,), name='pooled')
    dropped = keras.layers.Dropout(config.head.dropout, seed=config.seed)(pooled)
    logit = keras.layers.Dense(1, name='logit')(dropped)
    return keras.Model(pooled, logit, name='head')


def join(backbone: Backbone, head: keras.Model) -> keras.Model:
    """The whole model for inference: float32 [batch, size, size, 3] in 0..255 to logits."""
    images = keras.Input(backbone.whole.input_shape[1:], name='image')
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    feature_map = inference_copy(backbone.whole)(scaled)
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    return keras.Model(images, head(pooled), name='classifier')


def train(
    config: TrainConfig, backbone: Backbone, data: dict[str, Embedded], log_dir: Path,
    timings: Timings,
) -> keras.Model:  # fmt: skip
    """Runs the stages that the recipe asks for and returns the whole model with its best weights.

    Args:
        config: stages, head and augmentation.
        backbone: its upper part is trained in place.
        data: caches of the splits 'train' and 'eval'.
        log_dir: TensorBoard logs, a folder per stage.
        timings: gets the seconds of each stage.
    """
    head = build_head(config, backbone.whole.output_shape[-1])
    best = BestWeights()
    train_split, eval_split = data['train'], data['eval']
    if train_split.pooled and eval_split.pooled:
        stage = Stage('stage 1, head', config.feature_extraction, log_dir / 'feature_extraction')
        pooled = _stage_data(train_split.pooled, eval_split.pooled, config, stage.config.epochs)
        with timings.part(stage.name, train_split.pooled.count * stage.config.epochs):
            _fit(head, stage, pooled, best)
    if train_split.boundary and eval_split.boundary:
        stage = Stage('stage 2, fine-tuning', config.fine_tune, log_dir / 'fine_tune')
        cached = _stage_data(train_split.boundary, eval_split.boundary, config, stage.config.epochs)
        if backbone.trunk is None:
            cached = _image_stage_data(cached, config)
        assert backbone.top is not None  # there is something to fine-tune
        model = _fine_tuned_model(config, backbone.top, head)
        with timings.part(stage.name, train_split.boundary.count * stage.config.epochs):
            _fit(model, stage, cached, best)
    return join(backbone, head)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage: what the person sees, what the recipe says, where its logs go."""

    name: str
    config: StageConfig
    log_dir: Path


def _fine_tuned_model(config: TrainConfig, top: keras.Model, head: keras.Model) -> keras.Model:
    """From the fine-tuning boundary to the logit. Batch norm does as the recipe says."""
    boundary = keras.Input(top.input_shape[1:], name='boundary')
    training = None if config.fine_tune.batch_norm == 'train' else False
    feature_map = top(boundary, training=training)
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    return keras.Model(boundary, head(pooled), name='fine_tuned')


@dataclasses.dataclass(frozen=True)
class StageData:
    """Batches of one stage: endless shuffled ones, of which an epoch takes `steps`, and eval's."""

    train: tf.data.Dataset
    eval: tf.data.Dataset
    steps: int


def _stage_data(
    train_cache: CachedTensors, eval_cache: CachedTensors, config: TrainConfig, epochs: int
) -> StageData:
    batch_size = min(config.batch_size, train_cache.count)
    return StageData(
        train_cache.shuffled_batches(batch_size, epochs, config.seed).repeat(),
        eval_cache.batches(max(config.batch_size, _EVAL_BATCH)),
        train_cache.count // batch_size,
    )


def _image_stage_data(data: StageData, config: TrainConfig) -> StageData:
    """Cached images as the backbone expects them, those for training changed at random."""

    def changed(
        number: tf.Tensor, pair: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = pair
        if config.augment.active:
            seed = tf.stack([config.seed, tf.cast(number, tf.int32)])
            images = augmentation.augment(images, config.augment, seed)
        return scale(images), labels

    train = data.train.enumerate().map(changed, num_parallel_calls=tf.data.AUTOTUNE)
    unchanged = data.eval.map(lambda images, labels: (scale(images), labels))
    return StageData(train.prefetch(tf.data.AUTOTUNE), unchanged, data.steps)


def _fit(model: keras.Model, stage: Stage, data: StageData, best: 'BestWeights') -> None:
    epochs = stage.config.epochs
    model.compile(
        optimizer=make_optimizer(stage.config, data.steps * epochs),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name='accuracy')],
        jit_compile=False,  # XLA on a CPU runs these convolutions six times slower
    )
    model.optimizer.build(model.trainable_variables)  # else `fit` traces the step twice
    best.patience = stage.config.patience
    with EpochBars(stage.name) as bars:
        model.fit(
            data.train,
            validation_data=data.eval,
            epochs=epochs,
            steps_per_epoch=data.steps,
            verbose=0,
            callbacks=[
                best,
                bars,
                keras.callbacks.TensorBoard(str(stage.log_dir), write_graph=False),
            ],
        )


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the lowest validation loss, over all stages.

    A stage that never beats the one before it leaves the weights as it found them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patience = 0
        self.best_loss = float('inf')
        self._epochs_without = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._epochs_without = 0
        self._weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {})['val_loss']
        self._epochs_without += 1
        if loss < self.best_loss:
            self.best_loss, self._epochs_without = loss, 0
            self._weights = self.model.get_weights()
        if self.patience and self._epochs_without >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.model.set_weights(self._weights)


class EpochBars(keras.callbacks.Callback):
    """A progress bar for each epoch, with loss and accuracy.

    As a context it ends the bar of an epoch that is interrupted.
    """

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage
        self._open = contextlib.ExitStack()

    def __enter__(self) -> 'EpochBars':
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        name = f'{self._stage} {epoch + 1}/{self.params["epochs"]}'
        self._bar = self._open.enter_context(progress.bar(name, self.params['steps']))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.advance(text=_numbers(logs or {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.advance(0, text=_numbers(logs or {}))
        self._open.close()


def _numbers(logs: dict[str, float]) -> str:
    names = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}
    return ' '.join(f'{names[key]} {value:.3f}' for key, value in logs.items() if key in names)

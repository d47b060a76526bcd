"""MobileNetV2 without its classifier, split at the fine-tuning boundary.

Uses `keras.applications.MobileNetV2` (Sandler et al., "MobileNetV2: Inverted Residuals and Linear
Bottlenecks", CVPR 2018).
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import keras

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.folding import CONVOLUTIONS
from trainer.model.weights import check_weights_file, weights_file

BATCH_NORM_MOMENTUM = 0.9  # the default 0.999 is too slow for a few hundred steps from random


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone split at the fine-tuning boundary; the three models share their layers.

    Attributes:
        trunk: frozen part, from images, float32 [batch, size, size, 3] in -1..1, to the boundary.
            None if every layer is trained: the boundary is the image.
        top: trained part, from the boundary to the feature map, float32 [batch, height, width,
            channels]. None if every layer is frozen: the boundary is the feature map.
        model: complete backbone, from images to the feature map.
        first_trained: index of the first layer that fine-tuning trains. It may be above the
            boundary: see `last_cut_before`.
    """

    trunk: keras.Model | None
    top: keras.Model | None
    model: keras.Model
    first_trained: int

    @property
    def boundary_shape(self) -> tuple[int, int, int]:
        """Shape of the tensor of one image at the boundary: height, width, channels."""
        shape = self.model.input_shape if self.trunk is None else self.trunk.output_shape
        return tuple(shape[1:])

    def freeze(self) -> None:
        """Freezes all layers, for stage 1."""
        self.model.trainable = False

    def unfreeze_upper(self) -> None:
        """Makes the layers from `first_trained` on trainable, for stage 2."""
        self.model.trainable = True
        for layer in self.model.layers[: self.first_trained]:
            layer.trainable = False


def build_backbone(config: TrainConfig, *, half_precision: bool = False) -> Backbone:
    """Builds MobileNetV2 with the weights of the recipe, split before `fine_tune.from_layer`.

    Args:
        config: width multiplier, image size, weights and fine-tuning boundary.
        half_precision: whether to compute in float16; the weights stay float32.

    Raises:
        ConfigError: the weights are unavailable or do not fit, or the layer does not exist.
    """
    with _dtype_policy('mixed_float16' if half_precision else 'float32'):
        model = _build_mobilenet(config)
    if config.fine_tune.epochs == 0:
        model.trainable = False
        return Backbone(trunk=model, top=None, model=model, first_trained=len(model.layers))
    first_trained = layer_index(model, config.fine_tune.from_layer)
    if config.fine_tune.batch_norm == 'train':
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = BATCH_NORM_MOMENTUM
    cut = last_cut_before(model, first_trained)
    trunk, top = None, model
    if cut:
        boundary = model.layers[cut].output
        trunk = keras.Model(model.input, boundary, name='trunk')
        top = keras.Model(boundary, model.output, name='top')
    return Backbone(trunk, top, model, first_trained)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras's global dtype policy for the block: `keras.applications` takes none."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build_mobilenet(config: TrainConfig) -> keras.Model:
    check_weights_file(config.weights)
    build = functools.partial(
        keras.applications.MobileNetV2,
        input_shape=(config.image_size, config.image_size, 3),
        alpha=config.alpha,
        include_top=False,
    )
    if config.weights == 'imagenet':
        try:
            return build(weights='imagenet')
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise ConfigError(
                f'ImageNet weights of MobileNetV2 {config.alpha} could not be downloaded; '
                'pass a weights file with --weights FILE'
            ) from error
    model = build(weights=None)
    if path := weights_file(config.weights):
        _load(model, path, config.alpha)
    return model


def _load(model: keras.Model, path: Path, alpha: float) -> None:
    try:
        model.load_weights(path)
    except OSError as error:
        raise ConfigError(f'weights file {path} is corrupted; download it again') from error
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f'weights file {path} does not fit MobileNetV2 {alpha} without its top: '
            'change trainer.alpha, or use weights of this architecture'
        ) from error


def layer_index(model: keras.Model, layer: int | str) -> int:
    """Returns the index of a layer given by index or name.

    Raises:
        ConfigError: the layer does not exist; the message lists the valid choices.
    """
    names = [each.name for each in model.layers]
    if isinstance(layer, int):
        if 0 <= layer < len(names):
            return layer
        raise ConfigError(f'{model.name} has no layer {layer}; use 0 to {len(names) - 1}')
    if layer in names:
        return names.index(layer)
    raise ConfigError(f'{model.name} has no layer {layer!r}; use one of {", ".join(names)}')


def last_cut_before(model: keras.Model, first_trained: int) -> int:
    """Returns the last layer before `first_trained` where one tensor connects both parts, by index.

    A cut through a residual connection would need two cached tensors. Moving the cut down adds a
    few frozen layers to the top, which is cheaper.
    """
    index_of = {layer.name: index for index, layer in enumerate(model.layers)}
    reach = 0  # last layer that reads an output from below the candidate
    cuts = [0]
    reads: dict[int, int] = {}  # last reader of each layer's output
    for index, layer in enumerate(model.layers):
        for node in layer._inbound_nodes[:1]:
            for parent in node.parent_nodes:
                source = index_of[parent.operation.name]
                reads[source] = max(reads.get(source, 0), index)
    for index in range(1, first_trained):
        reach = max(reach, reads.get(index - 1, 0))
        # Folding needs a convolution and its batch norm in the same part.
        if reach <= index and not isinstance(model.layers[index], CONVOLUTIONS):
            cuts.append(index)
    return cuts[-1]

"""MobileNetV2 without its classifier, and the place where it is cut for fine-tuning.

Follows Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018), as
built by `keras.applications`.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import keras

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.folding import CONVOLUTIONS
from trainer.model.weights import check_weights_file, weights_file

BATCH_NORM_MOMENTUM = 0.9  # Keras's 0.999 lags far behind in a few hundred steps from random


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone cut in two at the fine-tuning boundary; both parts share their layers.

    Attributes:
        trunk: image, float32 [batch, size, size, 3] in -1..1, to the boundary. None if everything
            is trained, in which case the boundary is the image itself.
        top: boundary to feature map, float32 [batch, height, width, channels]. None if all of it
            stays frozen, in which case the boundary is the feature map itself.
        whole: image to feature map.
        first_trained: number of the first layer that fine-tuning trains; it may lie a little above
            the cut.
    """

    trunk: keras.Model | None
    top: keras.Model | None
    whole: keras.Model
    first_trained: int

    @property
    def boundary_shape(self) -> tuple[int, int, int]:
        """Of the activations of one image at the cut."""
        shape = self.whole.input_shape if self.trunk is None else self.trunk.output_shape
        return tuple(shape[1:])

    def freeze(self) -> None:
        """For stage 1: nothing of it is trained."""
        self.whole.trainable = False

    def unfreeze_upper(self) -> None:
        """For stage 2: from `first_trained` on, everything is trained."""
        self.whole.trainable = True
        for layer in self.whole.layers[: self.first_trained]:
            layer.trainable = False


def build_backbone(config: TrainConfig, *, half_precision: bool = False) -> Backbone:
    """Builds MobileNetV2 with the weights that the recipe names, cut before `from_layer`.

    Args:
        config: width, size, weights and where fine-tuning begins.
        half_precision: compute in float16, with weights in float32.

    Raises:
        ConfigError: the weights cannot be had or do not fit, or there is no such layer.
    """
    with _dtype_policy('mixed_float16' if half_precision else 'float32'):
        whole = _whole_backbone(config)
    if config.fine_tune.epochs == 0:
        whole.trainable = False
        return Backbone(trunk=whole, top=None, whole=whole, first_trained=len(whole.layers))
    first_trained = layer_number(whole, config.fine_tune.from_layer)
    if config.fine_tune.batch_norm == 'train':
        for layer in whole.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = BATCH_NORM_MOMENTUM
    cut = last_cut_before(whole, first_trained)
    trunk, top = None, whole
    if cut:
        boundary = whole.layers[cut].output
        trunk = keras.Model(whole.input, boundary, name='trunk')
        top = keras.Model(boundary, whole.output, name='top')
    return Backbone(trunk, top, whole, first_trained)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """`keras.applications` takes no policy, so the global one is changed for a moment."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _whole_backbone(config: TrainConfig) -> keras.Model:
    shape = (config.image_size, config.image_size, 3)
    if config.weights == 'imagenet':
        try:
            return keras.applications.MobileNetV2(
                input_shape=shape, alpha=config.alpha, include_top=False, weights='imagenet'
            )
        except Exception as error:  # Keras raises a bare Exception when it cannot download
            raise ConfigError(
                f'ImageNet weights of MobileNetV2 {config.alpha} could not be fetched; '
                'give a file of weights with --weights FILE'
            ) from error
    model = keras.applications.MobileNetV2(
        input_shape=shape, alpha=config.alpha, include_top=False, weights=None
    )
    path = weights_file(config.weights)
    if path:
        check_weights_file(config.weights)
        _load(model, path, config.alpha)
    return model


def _load(model: keras.Model, path: Path, alpha: float) -> None:
    try:
        model.load_weights(path)
    except OSError as error:
        raise ConfigError(f'weights file {path} is damaged; get it again') from error
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f'weights file {path} does not fit MobileNetV2 {alpha} without its top: '
            'another width (trainer.alpha) or another architecture'
        ) from error


def layer_number(model: keras.Model, layer: int | str) -> int:
    """Number of a layer given by number or name.

    Raises:
        ConfigError: there is no such layer; the message gives the valid choices.
    """
    names = [each.name for each in model.layers]
    if isinstance(layer, int):
        if 0 <= layer < len(names):
            return layer
        raise ConfigError(f'{model.name} has layers 0 to {len(names) - 1}, not {layer}')
    if layer in names:
        return names.index(layer)
    raise ConfigError(f'{model.name} has no layer {layer!r}; it has {", ".join(names)}')


def last_cut_before(model: keras.Model, first_trained: int) -> int:
    """Number of the last layer before `first_trained` whose output alone feeds all later layers.

    A residual connection that spans the boundary would need two cached tensors; a few frozen
    layers more in the upper part are cheaper.
    """
    number = {layer.name: index for index, layer in enumerate(model.layers)}
    reach = 0  # the latest layer that reads an output from before the candidate
    cuts = [0]
    reads: dict[int, int] = {}
    for index, layer in enumerate(model.layers):
        for node in layer._inbound_nodes[:1]:
            for parent in node.parent_nodes:
                source = number[parent.operation.name]
                reads[source] = max(reads.get(source, 0), index)
    for index in range(1, first_trained):
        reach = max(reach, reads.get(index - 1, 0))
        # A convolution stays with its batch norm: they are folded into one.
        if reach <= index and not isinstance(model.layers[index], CONVOLUTIONS):
            cuts.append(index)
    return cuts[-1]

"""MobileNetV2 without its classifier, split at the fine-tuning boundary.

Uses `keras.applications.MobileNetV2` (Sandler et al., "MobileNetV2: Inverted Residuals and Linear
Bottlenecks", CVPR 2018).
"""

import dataclasses
import re

import keras

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.folding import CONVOLUTIONS
from trainer.model.weights import check_weights_file, weights_file

_BATCH_NORM_MOMENTUM = 0.9  # the default 0.999 is too slow for a few hundred steps from random


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone split at the fine-tuning boundary; the three models share their layers."""

    # Frozen part, from images, float32 [batch, size, size, 3] in -1..1, to the boundary. None if
    # every layer is trained: the boundary is the image
    trunk: keras.Model | None
    # Trained part, from the boundary to the feature map, [batch, height, width, channels]. None if
    # every layer is frozen: the boundary is the feature map
    top: keras.Model | None
    model: keras.Model  # complete backbone, from images to the feature map
    first_trained: int  # index of the first layer that fine-tuning trains, at or above the boundary

    @property
    def boundary_shape(self) -> tuple[int, int, int]:
        """Shape of the tensor of one image at the boundary: height, width, channels."""
        shape = self.trunk.output_shape if self.trunk else self.model.input_shape
        return tuple(shape[1:])

    def freeze(self, *, fine_tuning: bool) -> None:
        """Freezes all layers, or those before `first_trained` for fine-tuning."""
        self.model.trainable = fine_tuning
        for layer in self.model.layers[: self.first_trained]:
            layer.trainable = False


def build_backbone(config: TrainConfig, *, half_precision: bool = False) -> Backbone:
    """Builds MobileNetV2 with the weights of the recipe, split before `fine_tune.from_layer`.

    In half precision it computes in float16; the weights stay float32. Raises ConfigError if the
    weights are unavailable or do not fit, or the layer does not exist.
    """
    policy = keras.config.dtype_policy()  # global: `keras.applications` takes none
    keras.config.set_dtype_policy('mixed_float16' if half_precision else 'float32')
    try:
        model = _build_mobilenet(config)
    finally:
        keras.config.set_dtype_policy(policy)
    if config.fine_tune.epochs == 0:
        model.trainable = False
        return Backbone(trunk=model, top=None, model=model, first_trained=len(model.layers))
    first_trained = _layer_index(model, config.fine_tune.from_layer)
    if config.fine_tune.batch_norm == 'train':
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _BATCH_NORM_MOMENTUM
    cut = last_cut_before(model, first_trained)
    if cut == 0:
        return Backbone(None, model, model, first_trained)
    boundary = model.layers[cut].output
    trunk = keras.Model(model.input, boundary, name='trunk')
    top = keras.Model(boundary, model.output, name='top')
    return Backbone(trunk, top, model, first_trained)


def _build_mobilenet(config: TrainConfig) -> keras.Model:
    check_weights_file(config.weights)
    shape = (config.image_size, config.image_size, 3)
    downloaded = 'imagenet' if config.weights == 'imagenet' else None
    try:
        model = keras.applications.MobileNetV2(
            shape, alpha=config.alpha, include_top=False, weights=downloaded
        )
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if not downloaded:
            raise
        raise ConfigError(
            f'ImageNet weights of MobileNetV2 {config.alpha} could not be downloaded; '
            'pass a weights file with --weights FILE'
        ) from error
    path = weights_file(config.weights)
    try:
        if path:
            model.load_weights(path)
    except OSError as error:
        problem = 'is corrupted; download it again'
        if lock := re.search(r"unable to lock file.* error message = '(.*?)'", str(error)):
            problem = (
                f'cannot be locked ({lock[1]}); set the environment variable '
                'HDF5_USE_FILE_LOCKING=FALSE'
            )
        raise ConfigError(f'weights file {path} {problem}') from error
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f'weights file {path} does not fit MobileNetV2 {config.alpha} without its top: '
            'change trainer.alpha, or use weights of this architecture'
        ) from error
    return model


def _layer_index(model: keras.Model, layer: int | str) -> int:
    names = [each.name for each in model.layers]
    if layer in names:
        return names.index(str(layer))
    if isinstance(layer, int) and 0 <= layer < len(names):
        return layer
    choices = f'0 to {len(names) - 1}' if isinstance(layer, int) else f'one of {", ".join(names)}'
    raise ConfigError(f'{model.name} has no layer {layer!r}; use {choices}')


def last_cut_before(model: keras.Model, first_trained: int) -> int:
    """Returns the last layer before `first_trained` where one tensor connects both parts, by index.

    A cut through a residual connection would need two cached tensors. Moving the cut down adds a
    few frozen layers to the top, which is cheaper. Folding needs a convolution and its batch norm
    in the same part.
    """
    last_reader: dict[str, int] = {}  # of each layer's output
    for index, layer in enumerate(model.layers):
        for node in layer._inbound_nodes[:1]:
            last_reader |= {parent.operation.name: index for parent in node.parent_nodes}
    cut = reach = 0  # reach: last layer that reads an output from below the candidate
    for index in range(1, first_trained):
        reach = max(reach, last_reader[model.layers[index - 1].name])
        if reach <= index and not isinstance(model.layers[index], CONVOLUTIONS):
            cut = index
    return cut

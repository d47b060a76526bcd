"""A network of `keras.applications`, or of the user, split at the fine-tuning boundary."""

import contextlib
import dataclasses
import difflib
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from common.errors import ConfigError
from trainer.config.train import FineTuneConfig, TrainConfig
from trainer.model.folding import fold, node_by_name, nodes_of, unfold
from trainer.model.own_model import import_own, summary
from trainer.model.weights import check_weights_file, weights_file

_BATCH_NORM_MOMENTUM = 0.9  # the default 0.999 is too slow for a few hundred steps from random
_MOST_NAMES = 3  # in a suggestion
_TOLERANCE = 1e-3  # of the outputs of a copy, relative to the largest

Preprocess = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network from images to a feature map, [batch, height, width, channels], in two parts.

    `cut` names the operation whose output is the boundary. The layers up to it are frozen, and
    those above read nothing else. It is None if every layer is trained: the boundary is the image.
    """

    model: keras.Model  # batch norm is folded, unless the recipe trains it
    original: keras.Model  # with batch norm, for weights in files; not changed by training
    preprocess: Preprocess  # float32 pixels in 0..255 to the input of the model
    cut: str | None
    first_trained: int  # index of the first layer that fine-tuning trains, above the boundary

    @property
    def depth(self) -> int | None:
        """The number of the cut in the network: names of operations differ between processes."""
        names = [operation.name for operation in self.model.operations]
        return names.index(self.cut) if self.cut else None

    @property
    def boundary_shape(self) -> tuple[int, int, int]:
        """Shape of the tensor of one image at the boundary: height, width, channels."""
        depth = self.depth
        shape = self.model.input_shape if depth is None else self.output_of(depth).shape
        return tuple(shape[1:])

    def output_of(self, depth: int) -> keras.KerasTensor:
        """Returns the output of an operation, given its number in the network."""
        return node_by_name(self.model)[self.model.operations[depth].name].outputs[0]

    def top(self) -> keras.Model | None:
        """Returns the network above the boundary; None if that is the feature map."""
        if self.depth is None:
            return self.model
        boundary = self.output_of(self.depth)
        if boundary is self.model.output:
            return None
        return keras.Model(boundary, self.model.output, name='top')

    def before(self, stage: FineTuneConfig) -> 'Backbone':
        """Returns the same network split before the first layer that this fine-tuning trains."""
        return split_backbone(self.model, self.original, self.preprocess, stage)

    def take_original(self) -> None:
        """Gives the network the weights of the original, as after these were loaded."""
        if self.model is not self.original:
            self.model.set_weights(fold(self.original).get_weights())

    def update_original(self) -> None:
        """Gives the original the weights that training changed."""
        if self.model is not self.original:
            unfold(self.model, self.original)

    def set_trainable(self, *, fine_tuning: bool, batch_norm: bool) -> None:
        """Makes no layer trainable, or in fine-tuning those from `first_trained` on."""
        for number, layer in enumerate(self.model.layers):  # the model itself would hide them all
            layer.trainable = fine_tuning and number >= self.first_trained
        for layer in self.model._flatten_layers():  # also those of nested models
            if isinstance(layer, keras.layers.BatchNormalization) and not batch_norm:
                layer.trainable = False


def build_backbone(config: TrainConfig, *, half_precision: bool = False) -> Backbone:
    """Builds the network of the recipe with its weights, split before `fine_tune.from_layer`.

    Its batch norm is folded, unless fine-tuning trains it. In half precision it computes in
    float16; the weights stay float32. Raises ConfigError if there is no such network, its weights
    are unavailable or do not fit, or the layer does not exist.
    """
    check_weights_file(config.weights)
    with _dtype_policy('mixed_float16' if half_precision else 'float32'):
        model, preprocess = _own_model(config) if config.model else _application(config)
    _load_weights(model, config)
    folded = fold(model) if config.fine_tune.batch_norm == 'inference' else model
    return split_backbone(folded, model, preprocess, config.fine_tune)


def check_copy(model: keras.Model, name: str) -> None:
    """Raises ConfigError, with the name, if a copy of a network has other outputs.

    A layer whose `get_config` lacks an argument would be trained with the default value.
    """
    images = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:]))
    expected, found = (
        keras.ops.convert_to_numpy(each(images.astype('float32'), training=False))
        for each in (model, fold(model))
    )
    if not np.abs(found - expected).max() <= _TOLERANCE * np.abs(expected).max():
        raise ConfigError(
            f'trainer.model: a copy of {name} has other outputs; give layers of your own a '
            '`get_config` with all arguments'
        )


def split_backbone(
    model: keras.Model, original: keras.Model, preprocess: Preprocess, stage: FineTuneConfig
) -> Backbone:
    """Splits a network before the first layer that fine-tuning trains.

    Raises ConfigError if the layer does not exist.
    """
    if stage.epochs == 0:
        return Backbone(model, original, preprocess, model.layers[-1].name, len(model.layers))
    first_trained = _layer_index(model, stage.from_layer)
    if stage.batch_norm == 'train':
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _BATCH_NORM_MOMENTUM
    cut = last_cut_before(model, first_trained)
    return Backbone(model, original, preprocess, cut, first_trained)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()  # global: `keras.applications` takes none
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _application(config: TrainConfig) -> tuple[keras.Model, Preprocess]:
    """Builds a network of `keras.applications` without its top."""
    names = [name for name in dir(keras.applications) if name[0].isupper()]
    if config.backbone not in names:
        raise ConfigError(
            f'trainer.backbone: keras.applications has no {config.backbone!r}; '
            f'{_suggest(config.backbone, names)}'
        )
    make = getattr(keras.applications, config.backbone)
    options: dict[str, Any] = {'weights': 'imagenet' if config.weights == 'imagenet' else None}
    if 'alpha' in inspect.signature(make).parameters:
        options['alpha'] = config.alpha
    elif config.alpha != 1.0:
        raise ConfigError(f'trainer.alpha: {config.backbone} has no width multiplier; set it to 1')
    shape = (config.image_size, config.image_size, 3)
    try:
        model = make(input_shape=shape, include_top=False, **options)
    except ValueError as error:  # of the size or the width
        reason = str(error).partition('\n')[0]
        raise ConfigError(f'trainer.backbone: {config.network}: {reason}') from error
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if options['weights'] is None:
            raise
        raise ConfigError(
            f'ImageNet weights of {config.network} could not be downloaded; '
            'pass a weights file with --weights FILE'
        ) from error
    return model, _preprocessing(sys.modules[make.__module__].preprocess_input)


def _own_model(config: TrainConfig) -> tuple[keras.Model, Preprocess]:
    """Calls the function of `trainer.model`: images in -1..1 to a feature map."""
    assert config.model is not None
    module, function = import_own(config.model), config.model.partition(':')[2]
    make, size = getattr(module, function, None), config.image_size
    if not callable(make):
        names = [name for name, each in vars(module).items() if callable(each)]
        raise ConfigError(
            f'trainer.model: {module.__name__} has no function {function!r}; '
            f'{_suggest(function, names)}'
        )
    try:
        model = make(size)
        problem = _misfit(model, size)
        if not problem:
            feature_map = keras.layers.Activation('linear')(model.outputs[0])
            model = keras.Model(model.inputs, feature_map, name=model.name)
            fold(model)  # which training does
    except (Exception, SystemExit) as error:  # of the user's code
        raise ConfigError(f'trainer.model: {config.model} raised {summary(error)}') from error
    if problem:
        raise ConfigError(f'trainer.model: {config.model} returned {problem}')
    return model, _to_unit_range()


def _misfit(model: object, size: int) -> str | None:
    """Returns why the result of a user's function cannot be a backbone; None if it can."""
    if not (
        isinstance(model, keras.Model)
        and len(getattr(model, 'outputs', ())) == 1  # a subclass, or one not built, has none
        and model.input_shape == (None, size, size, 3)
        and len(model.output_shape) == 4
    ):
        return (
            f'no Keras model from images, [batch, {size}, {size}, 3], to a feature map, '
            '[batch, height, width, channels], of the functional API'
        )
    functional = keras.Model(model.inputs, model.outputs)  # also of a Sequential
    calls = Counter(node.operation.name for node in nodes_of(functional))
    shared = next((name for name, count in calls.items() if count > 1), None)
    return f'a model that calls layer {shared!r} more than once' if shared else None


def _preprocessing(function: Preprocess) -> Preprocess:
    """Returns `preprocess_input` of a network, or the equivalent layer.

    TensorFlow Lite quantizes the product of the layer, but not the quotient of the function.
    """
    scaled = function(np.array([[[[0.0, 127.5, 255.0]]]], np.float32))
    return _to_unit_range() if np.allclose(scaled, [-1.0, 0.0, 1.0]) else function


def _to_unit_range() -> keras.Layer:
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name='scale', dtype='float32')


def _load_weights(model: keras.Model, config: TrainConfig) -> None:
    path = weights_file(config.weights)
    if path is None:
        return
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f'weights file {path} cannot be loaded into {config.network} without its top: '
            f'{summary(error)}'
        ) from error


def _suggest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, _MOST_NAMES)
    return (
        f'did you mean {" or ".join(close)}?' if close else f'it has {", ".join(names) or "none"}'
    )


def _layer_index(model: keras.Model, layer: int | float | str) -> int:
    """Returns the index of a layer, given by its index, its name, or its share of the depth."""
    names = [each.name for each in model.layers]
    if isinstance(layer, float):
        return int(layer * len(names))
    if layer in names:
        return names.index(str(layer))
    if isinstance(layer, int) and 0 <= layer < len(names):
        return layer
    choices = f'use 0 to {len(names) - 1}' if isinstance(layer, int) else _suggest(layer, names)
    raise ConfigError(
        f'trainer.fine_tune.from_layer: {model.name} has no layer {layer!r}; {choices}'
    )


def last_cut_before(model: keras.Model, first_trained: int) -> str | None:
    """Returns the last operation before `first_trained` whose output is all that later ones read.

    It is a layer, or an addition such as those of ConvNeXt, which are operations of Keras.
    A cut through a residual connection would need two cached tensors. Moving the cut down adds a
    few frozen layers to the top, which is cheaper. Returns None if there is no such layer: all
    layers are above the cut.
    """
    last_reader: dict[str, int] = {}  # of each operation's output
    nodes = node_by_name(model)
    for place, operation in enumerate(model.operations):
        for parent in nodes[operation.name].parent_nodes:
            last_reader[parent.operation.name] = place
    limit = model.operations.index(model.layers[first_trained])
    cut, reach = None, 0  # reach: last reader of what is below
    for place, operation in enumerate(model.operations[:limit]):
        if place > 0 and reach <= place and len(nodes[operation.name].outputs) == 1:
            cut = operation.name
        reach = max(reach, last_reader[operation.name])
    return cut

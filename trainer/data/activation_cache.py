"""Activation cache: what the frozen layers compute of each image and view, once, on disk.

A file holds the tensors of one span (an Examples artifact), view and kind, in the order of the
images. It is named by a hash of all that they depend on, so later trainings with other heads,
losses or rates take it, and a new span adds only its own. The oldest files go when the cache
exceeds its limit. `tf.data.Dataset.cache` would run the network in the graph of `tf.data`: on the
CPU, also if there is a GPU, and without bfloat16; and it cannot take a part of what it has.
"""

import functools
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common import console
from common.errors import ConfigError
from common.files import replacing
from trainer.config.train import TrainConfig
from trainer.data.augmentation import Augment, make_augment
from trainer.data.dataset import ImageSplit
from trainer.data.tensors import BATCH, Load, StageInput, Tensors
from trainer.model.backbone import Backbone

_USABLE = 0.9  # of the free disk space: logs and other processes need some too
_SEEDS = 1000  # between those of two trainings; a view has one of its own
_GIGABYTE = 1e9  # bytes


class _FrozenPart(NamedTuple):
    """What computes planned tensors: layers between two places of the network."""

    compute: Callable[[tf.Tensor], tf.Tensor]  # float16 or uint8, [batch, *shape]
    source: StageInput | None  # that it reads; None: images
    weights: str  # hash of all weights that the tensors depend on


def check_space(
    config: TrainConfig, inputs: Mapping[str, StageInput], counts: Mapping[str, int], folder: Path
) -> None:
    """Raises ConfigError if a cache of so many images of each split cannot be in `folder`.

    It may take `max_cache_gb`, and what the disk has left without other entries of the cache.
    """
    needed = sum(
        each.bytes(counts[split]) * each.views_of(split)
        for each in set(inputs.values())
        for split in ('train', 'eval')
    )
    room = min(
        config.max_cache_gb * _GIGABYTE, _free_bytes(folder) + sum(map(_size_of, folder.glob('*')))
    )
    if needed > room:
        raise ConfigError(
            f'the activation cache needs {needed / _GIGABYTE:.4f} GB, and {folder} has room for '
            f'{room / _GIGABYTE:.4f} GB: free disk space, raise trainer.max_cache_gb '
            f'({config.max_cache_gb:g}), or lower trainer.augment.cached_views'
        )


class ActivationCache:
    """Computes the input of the stages, or takes it from the folder of the cache."""

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        backbone: Backbone,
        inputs: Mapping[str, StageInput],
        key: str,
    ) -> None:
        """`key` stands for code and libraries, on which pixels and activations depend."""
        self._folder, self._config, self._inputs = folder, config, inputs
        # What is deeper in the network is computed from what is stored before it.
        self._planned = sorted({*inputs.values()}, key=lambda each: each.depth)
        self._parts = _frozen_parts(backbone, self._planned)
        self._key: list[Any] = [key, config.backbone, config.model]
        self._key += [config.image_size, config.resize, config.fine_tune.batch_norm]
        self._key += [backbone.model.output.dtype, tf.config.optimizer.get_experimental_options()]
        folder.mkdir(parents=True, exist_ok=True)

    def tensors(self, name: str, split: ImageSplit) -> tuple[dict[str, Tensors], int]:
        """Returns the input of each stage of a split, and the number of images that were computed.

        Only the split 'train' is augmented. Raises ConfigError if an activation is not finite.
        """
        computed: dict[tuple[str, int], int] = {}  # images by span and view
        spans = split.spans()
        for span, view, planned in self._entries(name, split):
            if self._lacks(planned, span, view):
                self._write(planned, span, view, name)
                computed[span.key, view] = span.count
        counts, inputs = [span.count for span in spans], {}
        for stage, planned in self._inputs.items():
            views = [
                [self._file(planned, span, view) for span in spans]
                for view in range(planned.views_of(name))
            ]
            loads = (_loader(views, counts, number, planned) for number in range(len(views)))
            inputs[stage] = Tensors(split.labels, (*loads,), are_images=planned.kind == 'images')
        return inputs, sum(computed.values())

    def make_room(self, splits: Mapping[str, ImageSplit]) -> None:
        """Removes the oldest files if the limit or the disk has no room for missing ones."""
        missing = 0
        for name, split in splits.items():
            for span, view, planned in self._entries(name, split):
                if self._lacks(planned, span, view):
                    missing += planned.bytes(span.count)
                else:
                    os.utime(self._file(planned, span, view))
        files = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
        limit = self._config.max_cache_gb * _GIGABYTE
        excess = missing + sum(map(_size_of, files)) - limit
        excess = max(excess, missing - _free_bytes(self._folder))
        for file in files:
            if excess <= 0:
                break
            excess -= _size_of(file)
            file.unlink()

    def _entries(
        self, name: str, split: ImageSplit
    ) -> Iterator[tuple[ImageSplit, int, StageInput]]:
        """Yields the span, view and content of each file, views first."""
        most = max(each.views_of(name) for each in self._planned)
        for view, span, planned in itertools.product(range(most), split.spans(), self._planned):
            if view < planned.views_of(name):
                yield span, view, planned

    def _file(self, planned: StageInput, span: ImageSplit, view: int) -> Path:
        changed = [self._config.seed, self._config.augment.changes] if view else []
        weights = self._parts[planned].weights
        parts = json.dumps([span.key, view, *changed, planned.depth, weights, *self._key])
        return self._folder / f'{hashlib.sha256(parts.encode()).hexdigest()[:24]}.{planned.kind}'

    def _lacks(self, planned: StageInput, span: ImageSplit, view: int) -> bool:
        """Whether a file is missing or truncated."""
        file = self._file(planned, span, view)
        return not file.is_file() or _size_of(file) != planned.bytes(span.count)

    def _write(self, planned: StageInput, span: ImageSplit, view: int, name: str) -> None:
        text = f'{name} images' + (f', view {view + 1}' if view else '')
        compute = self._parts[planned].compute
        with (
            console.bar(text, span.count) as bar,
            replacing(self._file(planned, span, view)) as path,
            path.open('wb') as file,
        ):
            for batch in self._inputs_of(planned, span, view):
                values = compute(batch).numpy()
                if not np.isfinite(values).all():
                    raise ConfigError(
                        f'activations of {name} images are not finite in float16, as the cache '
                        'stores them (maximum 65504); set trainer.augment.cached_views to 0, which '
                        'caches pixels alone, and trainer.precision to float32 if it is mixed'
                    )
                file.write(values.tobytes())
                bar.advance(len(values))

    def _inputs_of(self, planned: StageInput, span: ImageSplit, view: int) -> Iterator[tf.Tensor]:
        """Yields batches of images, or of the activations that these are computed from."""
        if source := self._parts[planned].source:
            load = _loader([[self._file(source, span, view)]], [span.count], 0, source)
            yield from map(load, tf.data.Dataset.range(span.count).batch(BATCH))
            return
        change = self._change(view)
        for images, _ in span.batches(BATCH):
            yield change(tf.cast(images, tf.float32))

    def _change(self, view: int) -> Augment:
        """Returns what makes a view of a batch of images, float32; the first view is plain."""
        if view == 0:
            return tf.identity
        if self._config.augment.only_flips:  # more views would repeat one of the two
            return functools.partial(tf.reverse, axis=[2])
        return make_augment(self._config.augment, self._config.seed * _SEEDS + view)


def _frozen_parts(
    backbone: Backbone, planned: Sequence[StageInput]
) -> dict[StageInput, _FrozenPart]:
    """Returns what computes each of the planned tensors, in the order of their depth.

    It takes the tensors before it; the first, and that of pixels, images, float32
    [batch, size, size, 3] in 0..255.
    """
    images = tf.TensorSpec(backbone.model.input_shape, tf.float32)
    digest, start, source = hashlib.sha256(), backbone.model.input, None
    parts: dict[StageInput, _FrozenPart] = {}
    for each in planned:
        if each.kind == 'images':
            parts[each] = _FrozenPart(lambda values: tf.cast(values, tf.uint8), None, '')
            continue
        end = backbone.model.output if each.kind == 'pooled' else backbone.output_of(each.depth)
        steps = [] if source else [backbone.preprocess]
        if start is not end:
            steps.append(functools.partial(layers := keras.Model(start, end), training=False))
            for weights in layers.get_weights():
                digest.update(weights.tobytes())
        if each.kind == 'pooled':
            steps.append(keras.layers.GlobalAveragePooling2D(dtype='float32'))
        spec = tf.TensorSpec([None, *source.shape], tf.float16) if source else images
        compute = functools.partial(_compute, steps, backbone.model.output.dtype)
        function = tf.function(compute, [spec], autograph=False)
        parts[each] = _FrozenPart(function, source, digest.hexdigest())
        start, source = end, each
    return parts


def _compute(steps: Sequence[Callable], dtype: str, values: tf.Tensor) -> tf.Tensor:
    """Applies the steps to images, or to activations in the type of the network; to float16."""
    values = values if values.dtype == tf.float32 else tf.cast(values, dtype)
    return tf.cast(functools.reduce(lambda result, step: step(result), steps, values), tf.float16)


def _loader(views: list[list[Path]], counts: list[int], number: int, planned: StageInput) -> Load:
    """Returns what loads the tensors of an epoch, given files by view and span.

    Each row is read when it is asked for: the pages of a memory map would count as memory of the
    process. The images take turns with the views: a whole epoch of mirror images pulls the weights
    one way.
    """
    starts, shape = np.cumsum([0, *counts]), planned.shape

    def read_row(place: int) -> np.ndarray:
        span = np.searchsorted(starts, place, 'right') - 1
        file = views[(place + number) % len(views)][span]
        offset = planned.bytes(int(place - starts[span]))
        return np.fromfile(file, planned.dtype, planned.values, offset=offset).reshape(shape)

    def read(places: np.ndarray) -> np.ndarray:
        return np.stack([read_row(place) for place in places])

    def load(places: tf.Tensor) -> tf.Tensor:
        tensors = tf.numpy_function(read, [places], planned.dtype)
        return tf.ensure_shape(tensors, [*places.shape, *shape])

    return load


def _free_bytes(folder: Path) -> float:
    """Returns the free space of the disk that the cache may use."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(place).free * _USABLE


def _size_of(file: Path) -> int:
    return file.stat().st_size

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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import console
from common.errors import ConfigError
from common.files import replacing
from trainer.config.train import TrainConfig
from trainer.data.augmentation import Augment, make_augment
from trainer.data.dataset import ImageSplit
from trainer.data.tensors import BATCH, Kind, Load, StageInput, Tensors
from trainer.model.backbone import Backbone

_USABLE = 0.9  # of the free disk space: logs and other processes need some too
_SEEDS = 1000  # between those of two trainings; a view has one of its own
_GIGABYTE = 1e9  # bytes

_Compute = Callable[[tf.Tensor], tf.Tensor]


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
        planned = {each.kind: each for each in inputs.values()}
        # Pooled features are computed last, from the activations at the boundary if they are there.
        self._planned = {kind: planned[kind] for kind in sorted(planned)}
        self._compute, self._weights = _frozen_part(backbone, from_boundary='boundary' in planned)
        self._key = [key, backbone.depth, config.backbone, config.model]
        self._key += [config.image_size, config.resize, config.fine_tune.batch_norm]
        self._key += [backbone.model.output.dtype, tf.config.optimizer.get_experimental_options()]
        folder.mkdir(parents=True, exist_ok=True)

    def tensors(self, name: str, split: ImageSplit) -> tuple[dict[str, Tensors], int]:
        """Returns the input of each stage of a split, and the number of images that were computed.

        Only the split 'train' is augmented. Raises ConfigError if an activation is not finite.
        """
        computed: dict[tuple[str, int], int] = {}  # images by span and view
        spans = split.spans()
        for span, view, kind in self._entries(name, split):
            if self._lacks(kind, span, view):
                self._write(kind, span, view, name)
                computed[span.key, view] = span.count
        counts, inputs = [span.count for span in spans], {}
        for stage, planned in self._inputs.items():
            views = [
                [self._file(planned.kind, span, view) for span in spans]
                for view in range(planned.views_of(name))
            ]
            loads = (_loader(views, counts, number, planned) for number in range(len(views)))
            inputs[stage] = Tensors(split.labels, (*loads,), are_images=planned.kind == 'images')
        return inputs, sum(computed.values())

    def make_room(self, splits: Mapping[str, ImageSplit]) -> None:
        """Removes the oldest files if the limit or the disk has no room for missing ones."""
        missing = 0
        for name, split in splits.items():
            for span, view, kind in self._entries(name, split):
                if self._lacks(kind, span, view):
                    missing += self._planned[kind].bytes(span.count)
                else:
                    os.utime(self._file(kind, span, view))
        files = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
        limit = self._config.max_cache_gb * _GIGABYTE
        excess = missing + sum(map(_size_of, files)) - limit
        excess = max(excess, missing - _free_bytes(self._folder))
        for file in files:
            if excess <= 0:
                break
            excess -= _size_of(file)
            file.unlink()

    def _entries(self, name: str, split: ImageSplit) -> Iterator[tuple[ImageSplit, int, Kind]]:
        """Yields the span, view and kind of each file, views first."""
        most = max(each.views_of(name) for each in self._planned.values())
        for view, span, kind in itertools.product(range(most), split.spans(), self._planned):
            if view < self._planned[kind].views_of(name):
                yield span, view, kind

    def _file(self, kind: Kind, span: ImageSplit, view: int) -> Path:
        changed = [self._config.seed, self._config.augment.changes] if view else []
        parts = json.dumps([span.key, view, *changed, self._weights.get(kind), *self._key])
        return self._folder / f'{hashlib.sha256(parts.encode()).hexdigest()[:24]}.{kind}'

    def _lacks(self, kind: Kind, span: ImageSplit, view: int) -> bool:
        """Whether a file is missing or truncated."""
        file = self._file(kind, span, view)
        return not file.is_file() or _size_of(file) != self._planned[kind].bytes(span.count)

    def _write(self, kind: Kind, span: ImageSplit, view: int, name: str) -> None:
        text = f'{name} images' + (f', view {view + 1}' if view else '')
        compute = self._compute[kind]
        with (
            console.bar(text, span.count) as bar,
            replacing(self._file(kind, span, view)) as path,
            path.open('wb') as file,
        ):
            for batch in self._inputs_of(kind, span, view):
                values = compute(batch).numpy()
                if not np.isfinite(values).all():
                    raise ConfigError(
                        f'activations of {name} images are not finite in float16, as the cache '
                        'stores them (maximum 65504); set trainer.augment.cached_views to 0, which '
                        'caches pixels alone, and trainer.precision to float32 if it is mixed'
                    )
                file.write(values.tobytes())
                bar.advance(len(values))

    def _inputs_of(self, kind: Kind, span: ImageSplit, view: int) -> Iterator[tf.Tensor]:
        """Yields batches of images, or of the activations that features are computed from."""
        if kind == 'pooled' and 'boundary' in self._planned:
            files, planned = [[self._file('boundary', span, view)]], self._planned['boundary']
            load = _loader(files, [span.count], 0, planned)
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


def _frozen_part(
    backbone: Backbone, *, from_boundary: bool
) -> tuple[dict[Kind, _Compute], dict[Kind, str]]:
    """Returns what computes the tensors of each kind, and a hash of the weights of each kind.

    The input is images, float32 [batch, size, size, 3] in 0..255; that of features the stored
    activations at the boundary with `from_boundary`.
    """
    trunk, top = backbone.split()
    average = keras.layers.GlobalAveragePooling2D(dtype='float32')

    def to_boundary(images: tf.Tensor) -> tf.Tensor:
        boundary = backbone.preprocess(images)
        return trunk(boundary, training=False) if trunk else boundary

    def pool(values: tf.Tensor) -> tf.Tensor:
        feature_map = values if from_boundary else to_boundary(values)
        feature_map = tf.cast(feature_map, backbone.model.output.dtype)
        feature_map = top(feature_map, training=False) if top else feature_map
        return tf.cast(average(feature_map), tf.float16)

    images = tf.TensorSpec(backbone.model.input_shape, tf.float32)
    stored = tf.TensorSpec([None, *backbone.boundary_shape], tf.float16)
    functions: dict[Kind, _Compute] = {
        'images': lambda images: tf.cast(images, tf.uint8),
        'boundary': tf.function(
            lambda values: tf.cast(to_boundary(values), tf.float16), [images], autograph=False
        ),
        'pooled': tf.function(pool, [stored if from_boundary else images], autograph=False),
    }
    return functions, {'boundary': _hash(trunk), 'pooled': _hash(backbone.model)}


def _hash(model: keras.Model | None) -> str:
    digest = hashlib.sha256()
    for weights in model.get_weights() if model else ():
        digest.update(weights.tobytes())
    return digest.hexdigest()


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

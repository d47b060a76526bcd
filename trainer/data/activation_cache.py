"""Activation cache: what the frozen layers compute of each image and view, once, on disk.

A file holds the tensors of one span (an Examples artifact), view and kind, in the order of the
images. It is named by a hash of all that they depend on, so later trainings with other heads,
losses or rates take it, and a new span adds only its own. The oldest files go when the cache
exceeds its limit. `tf.data.Dataset.cache` would run the network in the graph of `tf.data`: on the
CPU, also if there is a GPU, and without bfloat16; and it cannot take a part of what it has.
"""

import collections
import contextlib
import functools
import hashlib
import itertools
import json
import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common import console
from common.errors import ConfigError
from common.files import MEGABYTE, replacing
from trainer.config.train import TrainConfig
from trainer.data.augmentation import Augment, make_augment
from trainer.data.dataset import ImageSplit
from trainer.data.tensors import BATCH, Kind, Load, StageInput, Tensors
from trainer.model.backbone import Backbone
from trainer.model.folding import fold

_USABLE = 0.9  # of the free disk space: logs and other processes need some too
_SEEDS = 1000  # between those of two trainings; a view has one of its own

_Compute = Callable[[tf.Tensor], dict[Kind, tf.Tensor]]


def check_space(
    config: TrainConfig, inputs: Mapping[str, StageInput], counts: Mapping[str, int], folder: Path
) -> None:
    """Raises ConfigError if a cache of so many images of each split cannot be in `folder`.

    It may take `max_cache_gb`, and what the disk has left without other entries of the cache.
    """
    needed = sum(
        each.bytes(count) * each.views_of(split)
        for each in set(inputs.values())
        for split, count in counts.items()
        if split in ('train', 'eval')
    )
    fewer = 'lower trainer.augment.cached_views, or set trainer.cache to off'
    if needed > config.max_cache_gb * 1e9:
        raise ConfigError(
            f'trainer.max_cache_gb is {config.max_cache_gb:g}, and the activation cache needs '
            f'{_gigabytes(needed)}: raise it, {fewer}'
        )
    free = _free_bytes(folder)
    if needed > free + sum(map(_size_of, folder.glob('*'))):
        raise ConfigError(
            f'{folder} has {_gigabytes(free)} left, and the activation cache needs '
            f'{_gigabytes(needed)}: free disk space, {fewer}'
        )


class _Rows:
    """The tensors in a file, each read when it is asked for.

    The pages of a memory map would count as memory of the process, up to the size of the cache.
    """

    def __init__(self, file: Path, count: int, planned: StageInput) -> None:
        self._count, self._planned, self._size = count, planned, planned.bytes(1)
        self._file = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> np.ndarray:
        content = os.pread(self._file, self._size, row * self._size)
        return np.frombuffer(content, self._planned.dtype).reshape(self._planned.shape)


class _Entry(NamedTuple):
    """One view of the images of a span: a file per kind."""

    span: ImageSplit
    view: int
    files: dict[Kind, Path]


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
        self._folder, self._augment, self._inputs = folder, config.augment, inputs
        self._seed, self._limit = config.seed, config.max_cache_gb * 1e9
        self._planned = {each.kind: each for each in inputs.values()}
        is_half = backbone.model.output.dtype == 'float16'
        self._remedy = ' and trainer.precision to float32' if is_half else ''
        self._compute, self._pool, self._weights = _frozen_part(backbone, {*self._planned})
        self._key: list[Any] = [key, backbone.depth, config.backbone, config.model]
        self._key += [config.image_size, config.resize]
        self._key += [backbone.model.output.dtype, tf.config.optimizer.get_experimental_options()]
        folder.mkdir(parents=True, exist_ok=True)

    def tensors(self, name: str, split: ImageSplit) -> tuple[dict[str, Tensors], int]:
        """Returns the input of each stage of a split, and the number of images that were computed.

        Only the split 'train' is augmented. Raises ConfigError if an activation is not finite.
        """
        computed, arrays = 0, collections.defaultdict[tuple[Kind, int], list[_Rows]](list)
        for entry in self._entries(name, split):
            if missing := {k: file for k, file in entry.files.items() if self._lacks(entry, k)}:
                self._write(entry, missing, name)
                computed += entry.span.count
            for kind, file in entry.files.items():
                rows = _Rows(file, entry.span.count, self._planned[kind])
                arrays[kind, entry.view].append(rows)
        inputs = {}
        for stage, planned in self._inputs.items():
            views = [arrays[planned.kind, view] for view in range(planned.views_of(name))]
            loads = tuple(_loader(views, number, planned) for number in range(len(views)))
            inputs[stage] = Tensors(split.labels, loads, are_images=planned.kind == 'images')
        return inputs, computed

    def make_room(self, splits: Mapping[str, ImageSplit]) -> None:
        """Removes the oldest files if the limit or the disk has no room for missing ones."""
        missing = 0
        for name, split in splits.items():
            for entry in self._entries(name, split):
                for kind, file in entry.files.items():
                    if self._lacks(entry, kind):
                        missing += self._planned[kind].bytes(entry.span.count)
                    else:
                        os.utime(file)
        files = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
        used = sum(map(_size_of, files))
        excess = max(used + missing - self._limit, missing - _free_bytes(self._folder))
        for file in files:
            if excess <= 0:
                break
            excess -= _size_of(file)
            file.unlink()

    def _entries(self, name: str, split: ImageSplit) -> Iterator[_Entry]:
        views = max(each.views_of(name) for each in self._planned.values())
        for view, span in itertools.product(range(views), split.spans()):
            changed = [self._seed, self._augment.changes] if view else []
            files = {}
            for kind, each in self._planned.items():
                if view < each.views_of(name):
                    weights = self._weights.get(kind)
                    parts = json.dumps([span.key, view, *changed, weights, *self._key])
                    digest = hashlib.sha256(parts.encode()).hexdigest()[:24]
                    files[kind] = self._folder / f'{digest}.{kind}'
            yield _Entry(span, view, files)

    def _lacks(self, entry: _Entry, kind: Kind) -> bool:
        """Whether a file is missing or truncated."""
        file, size = entry.files[kind], self._planned[kind].bytes(entry.span.count)
        return not file.is_file() or _size_of(file) != size

    def _write(self, entry: _Entry, files: Mapping[Kind, Path], name: str) -> None:
        text = f'{name} images' + (f', view {entry.view + 1}' if entry.view else '')
        with console.bar(text, entry.span.count) as bar, contextlib.ExitStack() as stack:
            opened = {
                kind: stack.enter_context(stack.enter_context(replacing(path)).open('wb'))
                for kind, path in files.items()
            }
            for tensors in self._computed(entry, {*files}):
                for kind, file in opened.items():
                    values = tensors[kind].numpy()
                    if not np.isfinite(values).all():
                        raise ConfigError(
                            f'activations of {name} images are not finite in float16, as the cache '
                            f'stores them (maximum 65504); set trainer.cache to off{self._remedy}'
                        )
                    file.write(values.tobytes())
                bar.advance(len(values))

    def _computed(self, entry: _Entry, kinds: set[Kind]) -> Iterator[dict[Kind, tf.Tensor]]:
        """Computes the tensors of batches; features alone from the activations that are there."""
        if kinds == {'pooled'} and 'boundary' in entry.files:
            rows = _Rows(entry.files['boundary'], entry.span.count, self._planned['boundary'])
            for start in range(0, len(rows), BATCH):
                batch = range(start, min(start + BATCH, len(rows)))
                yield {'pooled': self._pool(np.stack([rows[row] for row in batch]))}
            return
        compute = _pixels if kinds == {'images'} else self._compute
        change = self._change(entry.view)
        for images, _ in entry.span.batches(BATCH):
            yield compute(change(tf.cast(images, tf.float32)))

    def _change(self, view: int) -> Augment:
        """Returns what makes a view of a batch of images, float32; the first view is plain."""
        if view == 0:
            return tf.identity
        if self._augment.only_flips:  # more views would repeat one of the two
            return functools.partial(tf.reverse, axis=[2])
        return make_augment(self._augment, self._seed * _SEEDS + view)


def _frozen_part(
    backbone: Backbone, kinds: set[Kind]
) -> tuple[_Compute, Callable[[np.ndarray], tf.Tensor], dict[Kind, str]]:
    """Returns two functions, and a hash of the weights of each kind.

    From images, float32 [batch, size, size, 3] in 0..255, to tensors by kind; and from the stored
    activations at the boundary to features.
    """
    folded = fold(backbone.model)
    trunk, top = backbone.split(folded)
    average = keras.layers.GlobalAveragePooling2D(dtype='float32')

    def pool(boundary: tf.Tensor) -> tf.Tensor:
        feature_map = tf.cast(boundary, backbone.model.output.dtype)
        feature_map = top(feature_map, training=False) if top else feature_map
        return tf.cast(average(feature_map), tf.float16)

    def compute(images: tf.Tensor) -> dict[Kind, tf.Tensor]:
        boundary = backbone.preprocess(images)
        boundary = trunk(boundary, training=False) if trunk else boundary
        tensors = _pixels(images) | {'boundary': tf.cast(boundary, tf.float16)}
        if 'pooled' in kinds:
            tensors['pooled'] = pool(tensors['boundary'] if 'boundary' in kinds else boundary)
        return {kind: tensors[kind] for kind in kinds}

    weights: dict[Kind, str] = {'boundary': _hash(trunk), 'pooled': _hash(folded)}
    images = tf.TensorSpec(folded.input_shape, tf.float32)
    stored = tf.TensorSpec([None, *backbone.boundary_shape], tf.float16)
    return (
        tf.function(compute, input_signature=[images], autograph=False),
        tf.function(pool, input_signature=[stored], autograph=False),
        weights,
    )


def _hash(model: keras.Model | None) -> str:
    digest = hashlib.sha256()
    for weights in model.get_weights() if model else ():
        digest.update(weights.tobytes())
    return digest.hexdigest()


def _pixels(images: tf.Tensor) -> dict[Kind, tf.Tensor]:
    return {'images': tf.cast(images, tf.uint8)}


def _loader(views: list[list[_Rows]], number: int, planned: StageInput) -> Load:
    """Returns what loads the tensors of an epoch, given rows by view and span.

    The images take turns with the views: a whole epoch of mirror images pulls the weights one way.
    """
    starts = np.cumsum([0, *map(len, views[0])])

    def read(places: np.ndarray) -> np.ndarray:
        spans = np.searchsorted(starts, places, 'right') - 1
        chosen = (places + number) % len(views)
        rows = zip(chosen, spans, places - starts[spans], strict=True)
        return np.stack([views[view][span][row] for view, span, row in rows])

    def load(places: tf.Tensor) -> tf.Tensor:
        tensors = tf.numpy_function(read, [places], planned.dtype)
        return tf.ensure_shape(tensors, [*places.shape, *planned.shape])

    return load


def _free_bytes(folder: Path) -> float:
    """Returns the free space of the disk that the cache may use."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(place).free * _USABLE


def _size_of(file: Path) -> int:
    return file.stat().st_size


def _gigabytes(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e8 else f'{size / MEGABYTE:.1f} MB'

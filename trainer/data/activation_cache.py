"""Activation cache: what the frozen layers compute of each image and view, once, on disk.

A file holds the tensors of one span (an Examples artifact), view and kind as fixed-length records.
It is named by a hash of all that they depend on, so later trainings with other heads, losses or
rates take it, and a new span adds only its own. The oldest files go when the cache exceeds its
limit. `tf.data.Dataset.cache` would run the network in the graph of `tf.data`: on the CPU, also if
there is a GPU, and without bfloat16.
"""

import collections
import contextlib
import functools
import hashlib
import itertools
import json
import os
import shutil
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
from trainer.data.augmentation import make_augment
from trainer.data.dataset import ImageSplit
from trainer.data.tensors import BATCH, Kind, StageInput, Tensors
from trainer.model.backbone import Backbone
from trainer.model.folding import fold

_USABLE = 0.9  # of the free disk space: logs and other processes need some too
_SHUFFLE_BYTES = 128 * 2**20  # maximum size of a shuffle buffer
_SEEDS = 1000  # between those of two trainings; a file has one of its own

_Compute = Callable[[tf.Tensor], dict[Kind, tf.Tensor]]


def check_space(
    config: TrainConfig, inputs: Mapping[str, StageInput], counts: Mapping[str, int], folder: Path
) -> None:
    """Raises ConfigError if a cache of so many images of each split cannot be in `folder`.

    It may take `max_cache_gb`, and what the disk has left without other entries of the cache.
    """
    needed = sum(each.bytes(counts) for each in set(inputs.values()))
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


class _Entry(NamedTuple):
    """What an epoch reads of the images of a span, a file per kind.

    File `f` has view `(f + b) % views` of batch `b`: a whole epoch of mirror images pulls the
    weights one way.
    """

    kinds: tuple[Kind, ...]
    span: ImageSplit
    file: int
    views: int

    def shares(self) -> list[int]:
        """Returns the view of each batch."""
        return [(self.file + number) % self.views for number in range(self.views)]


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
        self._by_kind = {each.kind: each for each in inputs.values()}
        is_half = backbone.model.output.dtype == 'float16'
        self._remedy = ' and trainer.precision to float32' if is_half else ''
        self._compute, weights = _frozen_part(backbone, {*self._by_kind})
        self._key: list[Any] = [key, weights, backbone.cut, config.backbone, config.model]
        self._key += [config.image_size, config.resize]
        self._key += [backbone.model.output.dtype, tf.config.optimizer.get_experimental_options()]
        folder.mkdir(parents=True, exist_ok=True)

    def tensors(self, name: str, split: ImageSplit) -> tuple[dict[str, Tensors], int]:
        """Returns the input of each stage of a split, and the number of images that were computed.

        Only the split 'train' is augmented. Raises ConfigError if an activation is not finite.
        """
        computed, files = 0, collections.defaultdict[tuple[Kind, int], list[str]](list)
        for entry in self._entries(name, split):
            paths = self._paths(entry)
            if not all(self._is_complete(entry, kind, path) for kind, path in paths.items()):
                self._write(entry, paths, name)
                computed += entry.span.count
            for kind, path in paths.items():
                files[kind, entry.file].append(str(path))
        inputs = {}
        for stage, planned in self._inputs.items():
            record = planned.record
            views = (files[planned.kind, view] for view in range(planned.views_of(name)))
            inputs[stage] = Tensors(
                split.labels,
                tuple(tf.data.FixedLengthRecordDataset(each, record.itemsize) for each in views),
                functools.partial(_decode, record),
                planned.kind == 'images',
                _SHUFFLE_BYTES // record.itemsize,
            )
        return inputs, computed

    def make_room(self, splits: Mapping[str, ImageSplit]) -> None:
        """Removes the oldest files if the limit or the disk has no room for missing ones."""
        missing = 0
        for name, split in splits.items():
            for entry in self._entries(name, split):
                for kind, path in self._paths(entry).items():
                    if self._is_complete(entry, kind, path):
                        os.utime(path)
                    else:
                        missing += self._bytes(entry, kind)
        files = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
        used = sum(map(_size_of, files))
        excess = max(used + missing - self._limit, missing - _free_bytes(self._folder))
        for file in files:
            if excess <= 0:
                break
            excess -= _size_of(file)
            file.unlink()

    def _entries(self, name: str, split: ImageSplit) -> Iterator[_Entry]:
        for views in sorted({each.views_of(name) for each in self._by_kind.values()}):
            kinds = [kind for kind, each in self._by_kind.items() if each.views_of(name) == views]
            for file, span in itertools.product(range(views), split.spans()):
                yield _Entry(tuple(kinds), span, file, views)

    def _bytes(self, entry: _Entry, kind: Kind) -> int:
        return self._by_kind[kind].record.itemsize * entry.span.count

    def _is_complete(self, entry: _Entry, kind: Kind, path: Path) -> bool:
        return path.is_file() and _size_of(path) == self._bytes(entry, kind)

    def _paths(self, entry: _Entry) -> dict[Kind, Path]:
        """Returns the file of each kind."""
        views = [entry.shares(), self._seed, self._augment.changes] if entry.views > 1 else []
        parts = json.dumps([entry.span.record_files.key, views, *self._key])
        name = hashlib.sha256(parts.encode()).hexdigest()[:24]
        return {kind: self._folder / f'{name}.{kind}' for kind in entry.kinds}

    def _write(self, entry: _Entry, paths: Mapping[Kind, Path], name: str) -> None:
        text = f'{name} images, {entry.file + 1} of {entry.views}'
        with console.bar(text, entry.span.count) as bar, contextlib.ExitStack() as stack:
            files = {
                kind: stack.enter_context(stack.enter_context(replacing(path)).open('wb'))
                for kind, path in paths.items()
            }
            compute = _pixels if entry.kinds == ('images',) else self._compute
            batches = entry.span.batches(BATCH)
            for change, (images, labels) in zip(self._changes(entry), batches, strict=False):
                tensors = compute(change(tf.cast(images, tf.float32)))
                for kind, file in files.items():
                    records = np.empty(len(labels), self._by_kind[kind].record)
                    records['tensor'], records['label'] = tensors[kind], np.ravel(labels)
                    if not np.isfinite(records['tensor']).all():
                        raise ConfigError(
                            f'activations of {name} images are not finite in float16, as the cache '
                            f'stores them (maximum 65504); set trainer.cache to off{self._remedy}'
                        )
                    file.write(records.tobytes())
                bar.advance(len(labels))

    def _changes(self, entry: _Entry) -> Iterator[Callable[[tf.Tensor], tf.Tensor]]:
        """Yields what makes the view of each batch of images, float32; the first view is plain."""
        augment: Callable[[tf.Tensor], tf.Tensor]
        if self._augment.only_flips:  # more views would repeat one of the two
            augment = functools.partial(tf.reverse, axis=[2])
        else:
            augment = make_augment(self._augment, self._seed * _SEEDS + entry.file)
        return itertools.cycle([augment if view else tf.identity for view in entry.shares()])


def _frozen_part(backbone: Backbone, kinds: set[Kind]) -> tuple[_Compute, str]:
    """Returns a function from images to tensors by kind, and a hash of its weights.

    Images are float32 [batch, size, size, 3] in 0..255.
    """
    folded = fold(backbone.model)
    trunk, top = backbone.split(folded)
    pool = keras.layers.GlobalAveragePooling2D(dtype='float32')

    def compute(images: tf.Tensor) -> dict[Kind, tf.Tensor]:
        boundary = backbone.preprocess(images)
        boundary = trunk(boundary, training=False) if trunk else boundary
        tensors = _pixels(images) | {'boundary': tf.cast(boundary, tf.float16)}
        if 'pooled' in kinds:
            feature_map = top(boundary, training=False) if top else boundary
            tensors['pooled'] = tf.cast(pool(feature_map), tf.float16)
        return {kind: tensors[kind] for kind in kinds}

    digest = hashlib.sha256()
    for weights in folded.get_weights():
        digest.update(weights.tobytes())
    spec = tf.TensorSpec(folded.input_shape, tf.float32)
    return tf.function(compute, input_signature=[spec], autograph=False), digest.hexdigest()


def _pixels(images: tf.Tensor) -> dict[Kind, tf.Tensor]:
    return {'images': tf.cast(images, tf.uint8)}


@tf.autograph.experimental.do_not_convert
def _decode(record: np.dtype, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes records, string [batch], to tensors [batch, ...] and labels, float32 [batch, 1]."""
    tensor, size = record['tensor'], record['tensor'].itemsize
    raw = tf.io.decode_raw(records, tf.uint8, little_endian=True)
    raw = tf.ensure_shape(raw, [None, record.itemsize])
    values, labels = raw[:, :size], tf.bitcast(raw[:, size:], tf.float32)
    if tensor.base != np.uint8:
        values = tf.bitcast(tf.reshape(values, [-1, size // 2, 2]), tf.float16)
    return tf.reshape(values, [-1, *tensor.shape]), labels[:, tf.newaxis]


def _free_bytes(folder: Path) -> float:
    """Returns the free space of the disk that the cache may use."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(place).free * _USABLE


def _size_of(file: Path) -> int:
    return file.stat().st_size


def _gigabytes(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e8 else f'{size / MEGABYTE:.1f} MB'

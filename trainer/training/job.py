"""A training job: configuration, network and data of the stages."""

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow_transform as tft

from common.errors import ModelError
from trainer.config.train import COLD, LIVE, TrainConfig, describe_warm_start
from trainer.data.activation_cache import ActivationCache, check_space
from trainer.data.dataset import ImageSplit
from trainer.data.tensors import Tensors, plan_inputs
from trainer.model.backbone import build_backbone
from trainer.model.network import Network, build_head
from trainer.results import FineTuningChoice
from trainer.training import devices
from trainer.training.trained_images import TRAINED_ON
from trainer.training.warm_start import load_keras_file, load_weights

# Console names of the stages, and their input splits, by their keys in the recipe.
STAGES = {'feature_extraction': 'stage 1, head', 'fine_tune': 'stage 2, fine-tuning'}
StageInputs = dict[str, dict[str, Tensors]]

_log = logging.getLogger(__name__)


class Timings:
    """Duration in seconds, and number of images if known, of each named part, summed."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def part(self, name: str, images: int = 0) -> Iterator[dict[str, float]]:
        """Measures the block, which may change 'images' of the yielded record."""
        start = time.perf_counter()
        measured: dict[str, float] = {'images': images}
        yield measured
        measured['seconds'] = time.perf_counter() - start
        before = self._parts.get(name, {})
        self._parts[name] = {key: before.get(key, 0) + measured[key] for key in measured}

    def write(self, path: Path) -> None:
        """Writes all parts as JSON."""
        path.write_text(json.dumps(self._parts, indent=1))


@dataclasses.dataclass(frozen=True)
class Job:
    """Inputs of a training, without the output paths of TFX."""

    config: TrainConfig
    classes: tuple[str, ...]  # in the order of their labels
    transform: tft.TFTransformOutput
    splits: Mapping[str, ImageSplit]  # 'train' and 'eval'
    timings: Timings
    base_model: str | None = None  # path of the SavedModel for a warm start, from TFX
    splitting: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # by key of the recipe
    cache_key: str = ''  # of code and libraries, for the activation cache
    undecided: Mapping[str, Any] | None = None  # basis of a choice that is still to be made
    choice: FineTuningChoice | None = None  # that was made, for `auto` in `trainer.fine_tune`

    @property
    def description(self) -> dict[str, Any]:
        """The properties that two models must share to exchange weights, by name."""
        config = self.config
        return {
            'trainer.backbone': config.model or config.backbone,
            'trainer.alpha': config.alpha,
            'trainer.head.hidden': list(config.head.hidden),
            'classes': list(self.classes),
            **self.splitting,
        }

    def start(self) -> tuple[Network, Path | None]:
        """Returns the network, and after a warm start the index of the images of its weights.

        Raises ModelError if the weights of a given version or file do not fit.
        """
        network, wanted = self.build_network(), self.config.warm_start
        if file := self.config.warm_start_file:
            load_keras_file(network, self.classes, file)
            _log.info('warm start from %s', file)
            return network, file.with_name(TRAINED_ON)
        if wanted == COLD or not self.base_model:  # the resolver has said why there is none
            return network, None
        try:
            folder = load_weights(network, self.description, self.base_model)
        except ModelError as reason:
            if wanted != LIVE:
                raise
            _log.info('no warm start: %s; starting from %s', reason, self.config.weights)
            return self.build_network(), None  # some weights may be loaded
        _log.info('warm start from %s, %s', describe_warm_start(wanted), folder)
        return network, folder / TRAINED_ON

    def build_network(self) -> Network:
        """Builds backbone and head; deterministic for a seed."""
        keras.utils.set_random_seed(self.config.seed)
        with self.timings.part('backbone'):
            half = devices.float16_on_gpu(self.config)
            backbone = build_backbone(self.config, half_precision=half)
            head = build_head(self.config, backbone.model.output_shape[-1], len(self.classes))
        return Network(backbone, head)

    def inputs(self, network: Network, folder: Path) -> StageInputs:
        """Returns the input of each stage, from the activation cache in a folder.

        Raises ConfigError if the disk is full.
        """
        undecided = self.undecided['keys'] if self.undecided else ()
        planned = plan_inputs(self.config, network.backbone, undecided)
        counts = {name: split.count for name, split in self.splits.items()}
        check_space(self.config, planned, counts, folder)
        cache = ActivationCache(folder, self.config, network.backbone, planned, self.cache_key)
        cache.make_room(self.splits)
        inputs: dict[str, dict[str, Tensors]] = {stage: {} for stage in planned}
        for name, split in self.splits.items():
            with self.timings.part(f'embedding of {name}') as part:
                tensors, part['images'] = cache.tensors(name, split)
            if not part['images']:
                _log.info('%s images: all activations are in the cache', name)
            for stage, each in tensors.items():
                inputs[stage][name] = each
        return inputs

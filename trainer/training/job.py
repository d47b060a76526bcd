"""A training job: configuration, network and data of the stages."""

import contextlib
import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import tensorflow_transform as tft

from common.errors import ModelError
from common.features import ACTIVATIONS_PREFIX
from trainer.config.train import TrainConfig
from trainer.data.cache_plan import plan_cache
from trainer.data.dataset import ImageSplit
from trainer.data.embedding import CachedLevel, Embedder
from trainer.data.stage_data import StageData, make_stage_data
from trainer.model.backbone import build_backbone
from trainer.model.head import build_head
from trainer.training import devices
from trainer.training.stages import HEAD, MakeStageData, Network
from trainer.training.timing import Timings
from trainer.training.warm_start import load_weights

_EMBEDDING_BATCH = 64

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Job:
    """Inputs of a training, without the output paths of TFX.

    Attributes:
        config: the `trainer:` key of the recipe.
        classes: names in the order of their labels.
        transform: output of the Transform component.
        splits: images of 'train' and 'eval'.
        timings: records the duration of each part.
        base_model: path of the SavedModel for a warm start, from TFX; None if there is none.
    """

    config: TrainConfig
    classes: tuple[str, ...]
    transform: tft.TFTransformOutput
    splits: Mapping[str, ImageSplit]
    timings: Timings
    base_model: str | None = None

    def start(self) -> tuple[Network, bool]:
        """Builds the network and logs its initial weights.

        Returns:
            The network, and whether its weights are those of the base model (warm start).
        """
        network = self.build_network()
        if self.config.warm_start is None:
            return network, False
        try:
            folder = load_weights(network, self.config, self.classes, self.base_model)
        except ModelError as reason:
            _log.info('no warm start: %s; starting from %s', reason, self.config.weights)
            return network, False
        _log.info('warm start from the last blessed model, %s', folder)
        return network, True

    def build_network(self) -> Network:
        """Builds backbone and head; deterministic for a seed."""
        keras.utils.set_random_seed(self.config.seed)
        half = devices.float16_on_gpu(self.config)
        with self.timings.part('backbone'):
            backbone = build_backbone(self.config, half_precision=half)
            head = build_head(self.config, backbone.model.output_shape[-1], len(self.classes))
        return Network(backbone, head, half)

    @contextlib.contextmanager
    def stage_data(self, network: Network, directory: Path) -> Iterator[MakeStageData]:
        """Gives a function that makes the data of a stage; deletes the cache after the block.

        Args:
            network: its frozen part computes the activation cache.
            directory: gets the cache, if the recipe enables it.

        Raises:
            ConfigError: the cache exceeds the limit of the recipe or the free disk space.
        """
        if not self.config.cache:
            yield lambda config, _, epochs: make_stage_data(
                self.splits, 'image', epochs, config, self.classes
            )
            return
        counts = {name: split.count for name, split in self.splits.items()}
        plan = plan_cache(self.config, network.backbone, counts, directory)
        _log.info('%s', plan)
        for leftover in directory.glob(f'{ACTIVATIONS_PREFIX}*'):  # of a killed process
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=ACTIVATIONS_PREFIX, dir=directory) as folder:
            embedder = Embedder(network.backbone, self.config, Path(folder))
            cached = {}
            for name, split in self.splits.items():
                views = plan.views if name == 'train' else 1
                with self.timings.part(f'embedding of {name}', split.count * views):
                    images = split.batches(_EMBEDDING_BATCH)
                    cached[name] = embedder.embed(name, images, split.count)

            def from_cache(config: TrainConfig, stage: str, epochs: int) -> StageData:
                key: CachedLevel = 'pooled' if stage == HEAD else 'boundary'
                splits = {name: tensors[key] for name, tensors in cached.items()}
                images = key == 'boundary' and network.backbone.trunk is None
                level = 'image' if images else key
                return make_stage_data(splits, level, epochs, config, self.classes)

            yield from_cache

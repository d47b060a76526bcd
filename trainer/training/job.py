"""One training: what is to be trained on what, and the data of its stages."""

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
from trainer.data.embedding import Embedder
from trainer.data.stage_data import Level, StageData, from_cache, from_images
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
    """What a training needs, apart from where TFX wants its results.

    Attributes:
        config: the `trainer:` part of the recipe.
        classes: names in the order of their labels.
        transform: the graph that Transform has written.
        splits: the images of 'train' and 'eval'.
        timings: where the seconds go.
        base_model: folder of the SavedModel to continue from, as TFX gives it; None: none.
    """

    config: TrainConfig
    classes: tuple[str, ...]
    transform: tft.TFTransformOutput
    splits: Mapping[str, ImageSplit]
    timings: Timings
    base_model: str | None = None

    def start(self) -> tuple[Network, bool]:
        """The network to train, and whether it continues from the base model; says which."""
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
        """Backbone and head as the recipe says; one seed gives one network."""
        keras.utils.set_random_seed(self.config.seed)
        half = devices.float16_on_gpu(self.config)
        with self.timings.part('backbone'):
            backbone = build_backbone(self.config, half_precision=half)
            channels = backbone.whole.output_shape[-1]
            head = build_head(self.config, channels, len(self.classes))
        return Network(backbone, head, half)

    @contextlib.contextmanager
    def stage_data(self, network: Network, directory: Path) -> Iterator[MakeStageData]:
        """Makes the data of stages while the block runs; a cache in `directory` ends with it.

        Raises:
            ConfigError: it would take more than the recipe or the disk allows.
        """
        if not self.config.cache:
            yield lambda config, _, epochs: from_images(self.splits, epochs, config, self.classes)
            return
        counts = {name: split.count for name, split in self.splits.items()}
        plan = plan_cache(self.config, network.backbone, counts, directory)
        _log.info('%s', plan)
        for left in directory.glob(f'{ACTIVATIONS_PREFIX}*'):  # by an attempt that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=ACTIVATIONS_PREFIX, dir=directory) as folder:
            embedder = Embedder(network.backbone, self.config, Path(folder))
            embedded = {}
            for name, split in self.splits.items():
                views = plan.views if name == 'train' else 1
                with self.timings.part(f'embedding of {name}', split.count * views):
                    images = split.batches(_EMBEDDING_BATCH)
                    embedded[name] = embedder.embed(name, images, split.count)
            unfrozen: Level = 'image' if network.backbone.trunk is None else 'boundary'

            def from_embedded(config: TrainConfig, stage: str, epochs: int) -> StageData:
                level: Level = 'pooled' if stage == HEAD else unfrozen
                return from_cache(embedded, level, epochs, config, self.classes)

            yield from_embedded

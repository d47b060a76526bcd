"""What the Trainer computes on and how precisely: CPU or GPUs, float32 or half of that."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from trainer.config.train import TrainConfig

_CPU_DESCRIPTION = Path('/proc/cpuinfo')
_BFLOAT16_INSTRUCTIONS = frozenset({'avx512_bf16', 'amx_bf16'})
_BFLOAT16_OPTION = 'auto_mixed_precision_onednn_bfloat16'

_log = logging.getLogger(__name__)


def make_strategy() -> tf.distribute.Strategy:
    """Every GPU of this machine where there is more than one; else the one device that is there."""
    gpus = tf.config.list_physical_devices('GPU')
    if len(gpus) < 2:
        return tf.distribute.get_strategy()
    _log.info('training on %s GPUs', len(gpus))
    return tf.distribute.MirroredStrategy()


def float16_on_gpu(config: TrainConfig) -> bool:
    """Whether the backbone computes in float16: where the recipe asks for it and a GPU is there."""
    return config.precision == 'mixed' and bool(tf.config.list_physical_devices('GPU'))


@contextlib.contextmanager
def precision_on_cpu(config: TrainConfig) -> Iterator[None]:
    """Lets convolutions and products compute in bfloat16 where the CPU has instructions for it.

    Weights, sums and everything else stay in float32. It makes the forward pass of MobileNetV2
    twice as fast and a training step 1.5 times. A function keeps the precision that it was first
    called with. 'auto' leaves out training that learns the statistics of batch norm: from a random
    start it learns more slowly in bfloat16, and each step takes as long.
    """
    learns_norm = config.fine_tune.epochs > 0 and config.fine_tune.batch_norm == 'train'
    wanted = config.precision == 'mixed' or (config.precision == 'auto' and not learns_norm)
    if not wanted or tf.config.list_physical_devices('GPU'):
        yield
        return
    if not cpu_has_bfloat16():
        if config.precision == 'mixed':
            _log.warning(
                'trainer.precision is mixed, but there is no GPU and the CPU has no bfloat16: '
                'training in float32'
            )
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16_OPTION, False)
    tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: before})


def cpu_has_bfloat16() -> bool:
    """Whether Linux lists an instruction set with bfloat16; False on other systems."""
    if not _CPU_DESCRIPTION.is_file():
        return False
    flags = next(
        (line for line in _CPU_DESCRIPTION.read_text().splitlines() if line.startswith('flags')), ''
    )
    return not _BFLOAT16_INSTRUCTIONS.isdisjoint(flags.split())

"""Selects devices and numeric precision: CPU or GPUs, float32, bfloat16 or float16."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from trainer.config.train import TrainConfig

_CPU_INFO = Path('/proc/cpuinfo')
_MAX_ISA = ('ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA')
_BFLOAT16_OPTION = 'auto_mixed_precision_onednn_bfloat16'

_log = logging.getLogger(__name__)


def count_gpus() -> int:
    """Number of GPUs that TensorFlow can use."""
    return len(tf.config.list_physical_devices('GPU'))


def make_strategy() -> tf.distribute.Strategy:
    """Mirrors training over all GPUs if there are several; else returns the default strategy."""
    gpus = tf.config.list_physical_devices('GPU')
    if len(gpus) < 2:
        return tf.distribute.get_strategy()
    _log.info('training on %s GPUs', len(gpus))
    return tf.distribute.MirroredStrategy()


def float16_on_gpu(config: TrainConfig) -> bool:
    """Whether the backbone computes in float16: `precision: mixed` on a machine with a GPU."""
    return config.precision == 'mixed' and bool(tf.config.list_physical_devices('GPU'))


@contextlib.contextmanager
def precision_on_cpu(config: TrainConfig) -> Iterator[None]:
    """Enables bfloat16 for convolutions and matrix products if the CPU and oneDNN support it.

    Weights and sums stay float32. The forward pass of MobileNetV2 becomes twice as fast, a training
    step 1.5 times. 'auto' excludes training that updates batch norm statistics: from a random start
    it converges more slowly in bfloat16, and a step is no faster.
    """
    trains_norm = config.fine_tune.epochs != 0 and config.fine_tune.batch_norm == 'train'
    wanted = config.precision == 'mixed' or (config.precision == 'auto' and not trains_norm)
    enabled = wanted and not tf.config.list_physical_devices('GPU') and _cpu_has_bfloat16()
    if config.precision == 'mixed' and not enabled and not float16_on_gpu(config):
        _log.warning(
            'trainer.precision is mixed, but there is no GPU and the CPU has no bfloat16: '
            'training in float32'
        )
    if enabled and _onednn_is_limited():
        _log.warning(
            'the CPU has bfloat16, but oneDNN does not use it (see TF_ENABLE_ONEDNN_OPTS and '
            'ONEDNN_MAX_CPU_ISA): training in float32'
        )
        enabled = False
    before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16_OPTION, False)
    tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: enabled})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: before})


def _cpu_has_bfloat16() -> bool:
    """Whether Linux lists an instruction set with bfloat16; False on other systems.

    oneDNN also emulates bfloat16, which is half as fast as float32.
    """
    info = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ''
    return re.search(r'^flags.*\b(avx512_bf16|amx_bf16)\b', info, re.MULTILINE) is not None


def _onednn_is_limited() -> bool:
    """Whether the environment turns oneDNN off or limits its instruction sets.

    Then it refuses bfloat16, which is an exception in a convolution, but ends the process in a
    matrix product.
    """
    off = os.environ.get('TF_ENABLE_ONEDNN_OPTS', '1').lower() in ('0', 'false')
    return off or any(name in os.environ for name in _MAX_ISA)

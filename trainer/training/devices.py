"""Selects devices and numeric precision: CPU or GPUs, float32, bfloat16 or float16."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from common import stack
from trainer.config.train import TrainConfig

_CPU_INFO = Path('/proc/cpuinfo')
_MAX_ISA = ('ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA')
_BFLOAT16_OPTION = 'auto_mixed_precision_onednn_bfloat16'
# oneDNN 3.4 and newer compute this gradient with a kernel for many channels per group if it is in
# bfloat16 and has strides: a step takes 1.5 times as long. TensorFlow reads the variable.
_IN_FLOAT32 = (
    'TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE',
    'DepthwiseConv2dNativeBackpropInput',
)

_log = logging.getLogger(__name__)


def count_gpus() -> int:
    """Number of GPUs that TensorFlow can use."""
    return len(tf.config.list_physical_devices('GPU'))


def make_strategy() -> tf.distribute.Strategy:
    """Mirrors training over all GPUs if there are several; else returns the default strategy."""
    if count_gpus() < 2:
        return tf.distribute.get_strategy()
    _log.info('training on %s GPUs', count_gpus())
    return tf.distribute.MirroredStrategy()


def float16_on_gpu(config: TrainConfig) -> bool:
    """Whether the backbone computes in float16: `precision: mixed` on a machine with a GPU."""
    return config.precision == 'mixed' and count_gpus() > 0


@contextlib.contextmanager
def precision_on_cpu(config: TrainConfig) -> Iterator[None]:
    """Enables bfloat16 for convolutions and matrix products if the CPU and oneDNN support it.

    Weights and sums stay float32. The forward pass of MobileNetV2 becomes twice as fast, a training
    step 1.5 times. 'auto' excludes training that updates batch norm statistics: from a random start
    it converges more slowly in bfloat16, and a step is no faster.
    """
    trains_norm = config.fine_tune.epochs != 0 and config.fine_tune.batch_norm == 'train'
    wanted = config.precision == 'mixed' or (config.precision == 'auto' and not trains_norm)
    gpus = count_gpus()
    enabled = wanted and not gpus and _has_bfloat16()
    if config.precision == 'mixed' and not enabled and not gpus:
        _log.warning(
            'trainer.precision is mixed, but there is no GPU, and no CPU whose bfloat16 oneDNN '
            'uses: training in float32'
        )
    if enabled and not stack.LEGACY:
        os.environ.setdefault(*_IN_FLOAT32)
    before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16_OPTION, False)
    tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: enabled})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_BFLOAT16_OPTION: before})


def _has_bfloat16() -> bool:
    """Whether Linux lists an instruction set with bfloat16, and oneDNN may use it.

    oneDNN also emulates bfloat16, which is half as fast as float32. If the environment turns it off
    or limits its instruction sets, it refuses bfloat16: a matrix product ends the process.
    """
    info = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ''
    is_off = os.environ.get('TF_ENABLE_ONEDNN_OPTS', '1').lower() in ('0', 'false')
    is_limited = is_off or any(name in os.environ for name in _MAX_ISA)
    found = re.search(r'^flags.*\b(avx512_bf16|amx_bf16)\b', info, re.MULTILINE)
    return found is not None and not is_limited

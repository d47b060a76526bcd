"""Numeric precision and training on several devices, on a machine without a GPU."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from training_jobs import train_in

from common import console
from trainer.config.train import StageConfig, TrainConfig
from trainer.model.network import join
from trainer.training import devices
from trainer.training.optimizer import make_optimizer


def bfloat16_enabled():
    name = 'auto_mixed_precision_onednn_bfloat16'
    return tf.config.optimizer.get_experimental_options().get(name, False)


@pytest.mark.parametrize(
    ('flags', 'precision', 'batch_norm', 'environment', 'enabled'),
    [
        ('avx512_bf16', 'auto', 'inference', {}, True),
        ('amx_bf16', 'mixed', 'train', {}, True),
        ('avx512_bf16', 'float32', 'inference', {}, False),
        ('avx512_bf16', 'auto', 'train', {}, False),
        ('avx512_bf16', 'mixed', 'inference', {'ONEDNN_MAX_CPU_ISA': 'AVX2'}, False),
        ('avx512_bf16', 'auto', 'inference', {'TF_ENABLE_ONEDNN_OPTS': '0'}, False),
        ('avx2', 'auto', 'inference', {}, False),
        ('avx2', 'mixed', 'inference', {}, False),
    ],
)
def test_enables_bfloat16_if_the_cpu_supports_it(
    monkeypatch, tmp_path, flags, precision, batch_norm, environment, enabled
):
    (tmp_path / 'cpuinfo').write_text(f'model name : x\nflags\t\t: fpu {flags} sse\n')
    monkeypatch.setattr(devices, '_CPU_INFO', tmp_path / 'cpuinfo')
    for variable in ('TF_ENABLE_ONEDNN_OPTS', *devices._MAX_ISA):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(devices.stack, 'LEGACY', False)
    monkeypatch.setenv(devices._IN_FLOAT32[0], '')  # restored at the end of the test
    monkeypatch.delenv(devices._IN_FLOAT32[0])
    stage = {'epochs': 1, 'batch_norm': batch_norm, 'from_layer': 0}
    config = TrainConfig.model_validate({'precision': precision, 'fine_tune': stage})
    stream = io.StringIO()
    with console.output_to(stream), devices.precision_on_cpu(config):
        assert bfloat16_enabled() is enabled
    assert bfloat16_enabled() is False
    assert (devices._IN_FLOAT32 in os.environ.items()) is enabled
    expected = precision == 'mixed' and not enabled
    assert ('training in float32' in stream.getvalue()) == expected


def test_float16_training_scales_the_loss_and_its_model_computes_in_float32(
    tmp_path, small_job, monkeypatch
):
    """Uses the CPU in place of a GPU."""
    try:
        tf.nn.conv2d(
            tf.ones((1, 8, 8, 32), tf.float16), tf.ones((1, 1, 32, 8), tf.float16), 1, 'SAME'
        )
    except tf.errors.AbortedError:  # `ONEDNN_MAX_CPU_ISA` leaves out the float16 of this CPU
        pytest.skip('oneDNN computes no convolution in float16 here')
    monkeypatch.setattr(devices, 'float16_on_gpu', lambda config: True)
    network, training = train_in(tmp_path, small_job())
    assert network.half_precision
    assert np.isfinite([history.metrics['loss'] for history in training.histories]).all()
    assert {each.dtype for each in network.backbone.model.get_weights()} == {np.dtype('float32')}
    assert make_optimizer(StageConfig(), 1, half_precision=True).dynamic_growth_steps
    (folded,) = (each for each in join(network).layers if each.name == network.backbone.model.name)
    assert {layer.compute_dtype for layer in folded.layers} == {'float32'}


TWO_DEVICES = """
import pathlib, sys
import tensorflow as tf

cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tensorflow_transform as tft
from training_jobs import SmallJob, train_in, write_splits
from trainer.config.train import TrainConfig
from trainer.training.job import Timings

config, transform = TrainConfig.model_validate_json(sys.argv[1]), tft.TFTransformOutput(sys.argv[2])
folder, classes = pathlib.Path(sys.argv[3]), ('cats', 'dogs')
splits = write_splits(folder / 'images', classes, transform)
job = SmallJob(config, classes, transform, splits, Timings())
with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():
    _, training = train_in(folder, job)
first, *_, last = training.histories[0].metrics['loss']
assert last < first
"""


@pytest.mark.slow
def test_mirrored_strategy_trains_one_model(tmp_path, small_job):
    job = small_job(
        feature_extraction={'epochs': 0},
        fine_tune={'epochs': 15, 'from_layer': 'Conv_1', 'learning_rate': 0.01},
    )
    graph = Path(job.transform.transform_savedmodel_dir).parent
    process = subprocess.run(
        [sys.executable, '-c', TWO_DEVICES, job.config.model_dump_json(), graph, tmp_path],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]

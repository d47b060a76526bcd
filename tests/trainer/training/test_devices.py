"""Numeric precision and training on several devices, on a machine without a GPU."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common import console
from trainer.config.train import StageConfig, TrainConfig
from trainer.training import devices
from trainer.training.optimizer import make_optimizer

REPOSITORY = Path(__file__).parents[3]


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


@pytest.mark.usefixtures('float16_on_cpu')
def test_float16_training_scales_the_loss(tmp_path, small_job, monkeypatch, run_job):
    """Uses the CPU in place of a GPU."""
    monkeypatch.setattr(devices, 'float16_on_gpu', lambda config: True)
    network, histories = run_job(small_job(), tmp_path)
    assert network.half_precision
    assert np.isfinite([history.metrics['loss'] for history in histories]).all()
    assert {each.dtype for each in network.backbone.model.get_weights()} == {np.dtype('float32')}
    assert make_optimizer(StageConfig(), 1, half_precision=True).dynamic_growth_steps


TWO_DEVICES = """
import json, pathlib, sys
import tensorflow as tf

cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from training_jobs import SmallJob
from trainer.config.train import TrainConfig
from trainer.data.tensors import Tensors
from trainer.training.job import Timings
from trainer.training.stages import train

folder = pathlib.Path(sys.argv[1])
config = TrainConfig.model_validate({
    'image_size': 32, 'weights': 'random', 'batch_size': 8, 'feature_extraction': {'epochs': 0},
    'fine_tune': {'epochs': 15, 'from_layer': 'Conv_1', 'learning_rate': 0.01},
})
job = SmallJob(config, ('cat', 'dog'), None, {}, Timings())
with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():
    network = job.build_network()
    shape = network.backbone.boundary_shape
    labels = np.arange(64) % 2
    noise = np.random.default_rng(0).uniform(0, 1, (64, *shape))
    values = (noise + labels[:, None, None, None]).astype(np.float16)
    def load(places):
        found = tf.numpy_function(values.__getitem__, [places], tf.float16)
        return tf.ensure_shape(found, [*places.shape, *shape])
    tensors = Tensors(labels, (load,), are_images=False)
    inputs = {'fine_tune': dict.fromkeys(('train', 'eval'), tensors)}
    (history,) = train(job, network, inputs, folder).histories
print(json.dumps(history.metrics))
"""


@pytest.mark.slow
def test_mirrored_strategy_trains_one_model(tmp_path):
    paths = os.pathsep.join(map(str, (Path(__file__).parents[1], REPOSITORY)))
    process = subprocess.run(
        [sys.executable, '-c', TWO_DEVICES, tmp_path],
        env={**os.environ, 'PYTHONPATH': paths},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    metrics = json.loads(process.stdout.splitlines()[-1])
    assert metrics['loss'][-1] < metrics['loss'][0]

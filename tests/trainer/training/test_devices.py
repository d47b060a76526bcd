"""Numeric precision and training on several devices, on a machine without a GPU."""

import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import console
from trainer.config.train import StageConfig, TrainConfig
from trainer.training import devices
from trainer.training.optimizer import make_optimizer
from trainer.training.stages import train


def bfloat16_enabled():
    name = 'auto_mixed_precision_onednn_bfloat16'
    return tf.config.optimizer.get_experimental_options().get(name, False)


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """`cpu('avx2 avx512_bf16')` simulates a CPU with these instructions."""

    def describe(flags: str) -> None:
        (tmp_path / 'cpuinfo').write_text(f'model name : x\nflags\t\t: fpu {flags} sse\n')
        monkeypatch.setattr(devices, '_CPU_INFO', tmp_path / 'cpuinfo')

    return describe


@pytest.mark.parametrize(
    ('flags', 'precision', 'enabled'),
    [
        ('avx512_bf16', 'auto', True),
        ('amx_bf16', 'mixed', True),
        ('avx512_bf16', 'float32', False),
        ('avx2', 'auto', False),
    ],
)
def test_enables_bfloat16_if_the_cpu_supports_it(cpu, flags, precision, enabled):
    cpu(flags)
    with devices.precision_on_cpu(TrainConfig(precision=precision)):
        assert bfloat16_enabled() is enabled
    assert bfloat16_enabled() is False


def test_training_of_batch_norm_disables_bfloat16(cpu):
    cpu('avx512_bf16')
    stage = {'epochs': 1, 'batch_norm': 'train', 'from_layer': 0}
    with devices.precision_on_cpu(TrainConfig.model_validate({'fine_tune': stage})):
        assert bfloat16_enabled() is False


def test_warns_if_half_precision_is_unsupported(cpu):
    cpu('avx2')
    stream = io.StringIO()
    config = TrainConfig(precision='mixed')
    with console.output_to(stream), devices.precision_on_cpu(config):
        assert bfloat16_enabled() is False
    assert 'no GPU and the CPU has no bfloat16: training in float32' in stream.getvalue()


def test_bfloat16_features_are_close_to_float32():
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(64)
    inputs = np.random.default_rng(0).normal(size=(32, 256)).astype('float32')
    exact = dense(inputs).numpy()
    with devices.precision_on_cpu(TrainConfig(precision='auto')):
        half = tf.function(dense, autograph=False)(tf.constant(inputs)).numpy()
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, exact, atol=0.05 * np.abs(exact).max())


def test_float16_training_scales_the_loss(tmp_path, small_job, monkeypatch):
    """Uses the CPU in place of a GPU."""
    monkeypatch.setattr(devices, 'float16_on_gpu', lambda config: True)
    job = small_job(precision='float32')
    network = job.build_network()
    assert network.backbone.model.output.dtype == 'float16'
    with job.stage_data(network, tmp_path) as stage_data:
        histories = train(job.config, network, stage_data, tmp_path / 'logs', job.timings)
    assert np.isfinite([history.metrics['loss'] for history in histories]).all()
    assert {weights.dtype for weights in network.backbone.model.get_weights()} == {
        np.dtype('float32')
    }
    optimizer = make_optimizer(StageConfig(), 1, half_precision=True)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


TWO_DEVICES = """
import json
import pathlib
import sys

import tensorflow as tf

cpu = tf.config.list_physical_devices('CPU')[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
import keras
import numpy as np
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone
from trainer.model.head import build_head, join
from trainer.data.stage_data import StageData
from trainer.training.stages import Network, train
from trainer.training.timing import Timings

config = TrainConfig.model_validate({
    'image_size': 32, 'alpha': 0.35, 'weights': 'random', 'batch_size': 8,
    'feature_extraction': {'epochs': 0},
    'fine_tune': {'epochs': 4, 'from_layer': 'block_16_project', 'learning_rate': 0.01},
})
with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():
    keras.utils.set_random_seed(0)
    network = Network(build_backbone(config), build_head(config, 1280))
    labels = (np.arange(64) % 2).astype('float32')[:, None]
    noise = np.random.default_rng(0).uniform(0, 1, (64, *network.backbone.boundary_shape))
    inputs = (noise + labels[:, :, None, None]).astype('float32')
    batches = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(8)
    data = StageData('boundary', batches.repeat(), batches, 8, 64)
    histories = train(config, network, lambda *_: data, pathlib.Path(sys.argv[1]), Timings())
    join(network.backbone, network.head)
print(json.dumps(histories[0].metrics))
"""


def test_mirrored_strategy_trains_one_model(tmp_path):
    process = subprocess.run(
        [sys.executable, '-c', TWO_DEVICES, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr[-2000:]
    metrics = json.loads(process.stdout.splitlines()[-1])
    assert metrics['loss'][-1] < metrics['loss'][0]
    assert metrics['accuracy'][-1] > 0.9

"""Precision and several devices, as far as a machine without a GPU can show them."""

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


def option():
    name = 'auto_mixed_precision_onednn_bfloat16'
    return tf.config.optimizer.get_experimental_options().get(name, False)


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """`cpu('avx2 avx512_bf16')`: a CPU with these instructions."""

    def describe(flags: str) -> None:
        (tmp_path / 'cpuinfo').write_text(f'model name : x\nflags\t\t: fpu {flags} sse\n')
        monkeypatch.setattr(devices, '_CPU_DESCRIPTION', tmp_path / 'cpuinfo')

    return describe


@pytest.mark.parametrize(
    ('flags', 'precision', 'used'),
    [
        ('avx512_bf16', 'auto', True),
        ('amx_bf16', 'mixed', True),
        ('avx512_bf16', 'float32', False),
        ('avx2', 'auto', False),
    ],
)
def test_bfloat16_is_used_where_the_cpu_has_it(cpu, flags, precision, used):
    cpu(flags)
    with devices.precision_on_cpu(TrainConfig(precision=precision)):
        assert option() is used
    assert option() is False


def test_a_network_from_a_random_start_is_trained_in_float32(cpu):
    cpu('avx512_bf16')
    stage = {'epochs': 1, 'batch_norm': 'train', 'from_layer': 0}
    with devices.precision_on_cpu(TrainConfig.model_validate({'fine_tune': stage})):
        assert option() is False


def test_asking_for_it_in_vain_is_said(cpu):
    cpu('avx2')
    said = io.StringIO()
    with (
        console.output_to(said),
        devices.precision_on_cpu(TrainConfig(precision='mixed')),
    ):
        assert option() is False
    assert 'no GPU and the CPU has no bfloat16: training in float32' in said.getvalue()


def test_half_precision_gives_about_the_same_features():
    keras.utils.set_random_seed(0)
    product = keras.layers.Dense(64)
    inputs = np.random.default_rng(0).normal(size=(32, 256)).astype('float32')
    exact = product(inputs).numpy()
    with devices.precision_on_cpu(TrainConfig(precision='auto')):
        rough = tf.function(product, autograph=False)(tf.constant(inputs)).numpy()
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=0.05 * np.abs(exact).max())


def test_a_gpu_computes_in_float16_and_its_loss_is_scaled(tmp_path, small_job, monkeypatch):
    """On the CPU, which can do it too, as if it were a GPU."""
    monkeypatch.setattr(devices, 'float16_on_gpu', lambda config: True)
    job = small_job(precision='float32')
    network = job.build_network()
    assert network.backbone.whole.output.dtype == 'float16'
    start = [weights.copy() for weights in network.backbone.whole.get_weights()]
    with job.stage_data(network, tmp_path) as stage_data:
        histories = train(job.config, network, stage_data, tmp_path / 'logs', job.timings)
    assert np.isfinite([history.metrics['loss'] for history in histories]).all()
    assert {weights.dtype for weights in network.backbone.whole.get_weights()} == {start[0].dtype}
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


def test_two_devices_train_one_model(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', TWO_DEVICES, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    metrics = json.loads(done.stdout.splitlines()[-1])
    assert metrics['loss'][-1] < metrics['loss'][0]
    assert metrics['accuracy'][-1] > 0.9

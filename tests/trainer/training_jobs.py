"""Makes training jobs on a few small images and a small network."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from example_records import write_records
from tensorflow_transform.tf_metadata import metadata_io

from common import features
from trainer.config.train import TrainConfig
from trainer.data.dataset import ImageSplit, open_splits
from trainer.model import backbone
from trainer.model.network import Network
from trainer.preprocessing import preprocessing_fn
from trainer.training.job import Job
from trainer.training.stages import Training, train

SIZE = 32
IMAGES = {'train': 48, 'eval': 24}  # divisible by two and three classes


class SmallJob(Job):
    """A job with one residual block in place of a random MobileNetV2."""

    def build_network(self) -> Network:
        with pytest.MonkeyPatch.context() as patch:
            if (self.config.backbone, self.config.weights) == ('MobileNetV2', 'random'):
                patch.setattr(backbone, '_application', small_application)
            return super().build_network()


def train_in(folder: Path, job: Job, **options: Any) -> tuple[Network, Training]:
    """Trains as `run_fn` does; returns the network and the result. Options are those of `train`."""
    network = job.build_network()
    inputs = job.inputs(network, folder / 'activations')
    return network, train(job, network, inputs, folder / 'state', **options)


def small_application(_: TrainConfig) -> tuple[keras.Model, backbone.Preprocess]:
    """Takes the place of `backbone._application`."""
    return small_mobilenet(), backbone._to_unit_range()


def small_mobilenet() -> keras.Model:
    """Builds a network of 16 channels from the kinds of layers of MobileNetV2."""
    layers = keras.layers
    convolutions = [
        layers.Conv2D(8, 3, strides=4, padding='same', use_bias=False, name='Conv1'),
        layers.Conv2D(16, 1, use_bias=False, name='block_1_expand'),
        layers.DepthwiseConv2D(3, padding='same', use_bias=False, name='block_1_depthwise'),
        layers.Conv2D(8, 1, use_bias=False, name='block_1_project'),
        layers.Conv2D(16, 3, strides=2, padding='same', use_bias=False, name='Conv_1'),
    ]
    images = values = keras.Input((SIZE, SIZE, 3))
    start = None  # of the residual block
    for convolution in convolutions:
        name = convolution.name
        values = layers.BatchNormalization(name=f'{name}_BN')(convolution(values))
        if name == 'block_1_project':
            values = layers.Add(name='block_1_add')([start, values])
        else:
            values = layers.ReLU(6.0, name=f'{name}_relu')(values)
        start = values if start is None else start
    return keras.Model(images, values)


def own_model(size: int) -> keras.Model:
    """Builds a network as of a user; its additions are operations of Keras, and no layers."""
    layers, images = keras.layers, keras.Input((size, size, 3))
    values = layers.Conv2D(8, 3, strides=4, use_bias=False, name='stem')(images)
    values = layers.BatchNormalization()(values)
    for _ in range(3):
        values = values + layers.Conv2D(8, 3, padding='same')(layers.ReLU()(values))
    return keras.Model(images, values)


def write_transform_graph(folder: Path, size: int = SIZE) -> tft.TFTransformOutput:
    """Writes a transform graph without TFX."""
    from pipeline.schema import schema_for  # imports TFDV, which takes seconds

    metadata = tft.DatasetMetadata(schema_for(('cats', 'dogs')))
    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(folder / 'tmp')):
        images = pipeline | beam.Create([])  # the graph needs no analysis of data
        transform_fn = (images, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, {'image_size': size, 'resize': 'squeeze'})
        )
        transform_fn | tft_beam.WriteTransformFn(str(folder))
    metadata_io.write_metadata(metadata, str(folder / 'metadata'))
    return tft.TFTransformOutput(str(folder))


def write_splits(
    folder: Path, classes: tuple[str, ...], transform: tft.TFTransformOutput
) -> dict[str, ImageSplit]:
    """Writes noise images, the brighter the higher their label, as records in two files."""
    random = np.random.default_rng(0)
    brightness = np.linspace(60, 190, len(classes))

    def example(label: int) -> dict[str, Any]:
        pixels = random.normal(brightness[label], 20, (48, 40, 3)).clip(0, 255)
        image = tf.io.encode_jpeg(pixels.astype(np.uint8)).numpy()
        return {features.IMAGE_BYTES: image, features.LABEL: label}

    for split, count in IMAGES.items():
        for part in range(2):
            examples = [example(number % len(classes)) for number in range(count // 2)]
            write_records(folder / f'{split}-{part}', examples)
    return open_splits({split: [str(folder / f'{split}-*')] for split in IMAGES}, transform)

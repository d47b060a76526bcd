"""Reads the warm-up requests of a SavedModel and the Trainer's responses."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from common import features
from common.errors import ModelError

Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A request and its response.

    Attributes:
        signature: name of the signature.
        name: name of its input.
        values: input, one row per image.
        outputs: arrays by output name, one row per image.
    """

    signature: str
    name: str
    values: tuple[bytes, ...]
    outputs: Outputs


def read_requests(model: Path) -> list[Recorded]:
    """Reads TensorFlow Serving's warm-up file of a SavedModel.

    Raises:
        ModelError: the file is missing, damaged or empty.
    """
    path = model / features.WARMUP_FILE
    if not path.is_file():
        raise ModelError(f'the model has no recorded requests ({features.WARMUP_FILE})')
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except (tf.errors.OpError, DecodeError) as error:
        raise ModelError(f'the recorded requests are damaged ({features.WARMUP_FILE})') from error
    if not logs:
        raise ModelError(f'the file of recorded requests is empty ({features.WARMUP_FILE})')
    return [_recorded(log.predict_log) for log in logs]


def _recorded(log: prediction_log_pb2.PredictLog) -> Recorded:
    ((name, tensor),) = log.request.inputs.items()
    outputs = {key: tf.make_ndarray(value) for key, value in log.response.outputs.items()}
    values = tuple(tf.make_ndarray(tensor).ravel())
    return Recorded(log.request.model_spec.signature_name, name, values, outputs)

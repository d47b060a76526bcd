"""The requests that lie in a SavedModel, and the answers of the Trainer to them. Imports no TFX."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from common import features
from common.errors import ModelError

Answer = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """One request and the answer to it.

    Attributes:
        signature: that is asked.
        name: of its input.
        values: bytes, a row each.
        answer: arrays with as many rows, by the name of the output.
    """

    signature: str
    name: str
    values: tuple[bytes, ...]
    answer: Answer


def read_requests(model: Path) -> list[Recorded]:
    """Those in the folder of a SavedModel, as TensorFlow Serving reads them.

    Raises:
        ModelError: the file is missing, damaged or empty.
    """
    path = model / features.WARMUP_FILE
    if not path.is_file():
        raise ModelError(f'no requests are recorded in it ({features.WARMUP_FILE})')
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except (tf.errors.OpError, DecodeError) as error:
        raise ModelError(f'its recorded requests are damaged ({features.WARMUP_FILE})') from error
    if not logs:
        raise ModelError(f'its file of recorded requests is empty ({features.WARMUP_FILE})')
    return [_recorded(log.predict_log) for log in logs]


def _recorded(log: prediction_log_pb2.PredictLog) -> Recorded:
    ((name, tensor),) = log.request.inputs.items()
    answer = {key: tf.make_ndarray(value) for key, value in log.response.outputs.items()}
    values = tuple(tf.make_ndarray(tensor).ravel())
    return Recorded(log.request.model_spec.signature_name, name, values, answer)

"""The warm-up requests of a SavedModel, and the comparison with the Trainer's responses."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from common import features
from common.errors import ModelError

TOLERANCE = 1e-5
_NUMBERS = (features.PROBABILITY, features.LOGIT)

Outputs = dict[str, np.ndarray]


class Request(NamedTuple):
    """A recorded request and its response, one row per image."""

    signature: str
    input_name: str
    values: tuple[bytes, ...]
    outputs: Outputs


def read_requests(model: Path) -> list[Request]:
    """Reads TensorFlow Serving's warm-up file of a SavedModel.

    Raises:
        ModelError: the file is missing, damaged or empty.
    """
    path = str(model / features.WARMUP_FILE)
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset(path)]
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except (tf.errors.OpError, DecodeError):
        logs = []
    if not logs:
        problem = 'the recorded requests are missing, empty or damaged'
        raise ModelError(f'{problem} ({features.WARMUP_FILE})')
    return [_recorded(log.predict_log) for log in logs]


def _recorded(log: prediction_log_pb2.PredictLog) -> Request:
    ((name, tensor),) = log.request.inputs.items()
    outputs = {key: tf.make_ndarray(value) for key, value in log.response.outputs.items()}
    values = tuple(tf.make_ndarray(tensor).ravel())
    return Request(log.request.model_spec.signature_name, name, values, outputs)


def compare(actual: Outputs, expected: Outputs) -> float:
    """Returns the largest difference of predictions, one row per image.

    Probabilities may differ by 1e-5. Logits may differ by 1e-5 times the largest expected logit if
    that is above 1, because they are unbounded and float32 has seven digits. The expected class of
    an invalid image is empty.

    Raises:
        ModelError: the predictions differ.
    """
    for key in (*_NUMBERS, features.CLASS):
        if key not in actual or actual[key].shape != expected[key].shape:
            raise ModelError(f'the output {key} is missing or has another shape')
    valid = (expected[features.CLASS] != b'').ravel()
    largest = 0.0
    for key in _NUMBERS:
        found, wanted = actual[key][valid].astype(np.float64), expected[key][valid]
        if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
            raise ModelError('the prediction for a valid image is NaN or infinite')
        if not np.isnan(actual[key][~valid]).all():
            raise ModelError('the prediction for an invalid image is not NaN')
        scale = max(1.0, float(np.abs(wanted).max()))  # 1 for probabilities
        largest = max(largest, float(np.abs(found - wanted).max()) / scale)
    if largest > TOLERANCE:
        raise ModelError(f"predictions differ from the Trainer's by up to {largest:.2g}")
    wrong = int((actual[features.CLASS] != expected[features.CLASS]).sum())
    if wrong:
        raise ModelError(f'{wrong} of {len(expected[features.CLASS])} predicted classes differ')
    return largest

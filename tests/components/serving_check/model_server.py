"""Python model of TensorFlow Serving's gRPC and REST requests.

Follows `tensorflow_serving/util/json_tensor.cc` and the REST API's documentation.
"""

import base64
import json
import math

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2


class BadRequest(ValueError):
    """HTTP status 400."""


def predict(signatures, message: bytes) -> bytes:
    """`PredictionService.Predict`, from PredictRequest to PredictResponse, both serialised."""
    request = predict_pb2.PredictRequest.FromString(message)
    name = request.model_spec.signature_name or 'serving_default'
    inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
    wanted = set(_inputs(signatures, name))
    if set(inputs) != wanted:
        raise BadRequest(f'input keys {sorted(inputs)}, expected {sorted(wanted)}')
    response = predict_pb2.PredictResponse()
    response.model_spec.signature_name = name
    for key, array in _run(signatures, name, inputs).items():
        response.outputs[key].CopyFrom(tf.make_tensor_proto(array))
    return response.SerializeToString()


def post_predict(signatures, body: str) -> str:
    """`POST /v1/models/NAME:predict`, in rows (`instances`) or columns (`inputs`)."""
    request = json.loads(body)
    name = request.get('signature_name', 'serving_default')
    in_rows = 'instances' in request
    if in_rows == ('inputs' in request):
        raise BadRequest('either instances or inputs')
    read = _rows if in_rows else _columns
    values = read(request['instances' if in_rows else 'inputs'], [*_inputs(signatures, name)])
    inputs = {
        key: np.array(_decoded(value), object if _is_text(signatures, name, key) else np.float32)
        for key, value in values.items()
    }
    outputs = {key: _to_json(each) for key, each in _run(signatures, name, inputs).items()}
    if not in_rows:
        return json.dumps({'outputs': outputs})  # with literal NaN, like the server
    count = len(next(iter(outputs.values())))
    return json.dumps(
        {'predictions': [{k: v[row] for k, v in outputs.items()} for row in range(count)]}
    )


def _rows(instances, names):
    named = isinstance(instances[0], dict) and set(instances[0]) != {'b64'}
    if named:
        return {name: [instance[name] for instance in instances] for name in names}
    return {_only(names): instances}


def _columns(inputs, names):
    if isinstance(inputs, dict) and set(inputs) != {'b64'}:
        return inputs
    return {_only(names): inputs}


def _only(names):
    if len(names) != 1:
        raise BadRequest('several inputs need names')
    return names[0]


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if isinstance(value, dict):
        if set(value) != {'b64'}:
            raise BadRequest('an object in a tensor is {"b64": ...}')
        return base64.b64decode(value['b64'], validate=True)
    return value.encode() if isinstance(value, str) else value


def _to_json(array):
    if isinstance(array, bytes):
        return array.decode()
    if isinstance(array, (np.ndarray, list)):
        return [_to_json(each) for each in array]
    return float(array)


def _run(signatures, name, inputs):
    tensors = {key: tf.constant(value) for key, value in inputs.items()}
    return {key: value.numpy() for key, value in signatures[name](**tensors).items()}


def _inputs(signatures, name):
    return signatures[name].structured_input_signature[1]


def _is_text(signatures, name, key):
    return _inputs(signatures, name)[key].dtype == tf.string


def strict(text: str):
    """Parses JSON like most clients, which reject NaN.

    Raises:
        ValueError: the text contains NaN.
    """

    def reject(constant):
        raise ValueError(f'{constant} is not valid JSON')

    return json.loads(text, parse_constant=reject)


def numbers_or_none(values):
    """Predictions, with None for NaN (an invalid image)."""
    return [None if math.isnan(value) else value for (value,) in values]

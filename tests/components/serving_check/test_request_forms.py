"""Requests documented in docs/serving.md, sent to a model of TensorFlow Serving."""

import base64
import contextlib
import io
import json
import re
from pathlib import Path

import model_server
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import components
from trainer.export.image_example import only_image

DOCUMENT = Path(components.__path__[0]).parent / 'docs' / 'serving.md'


def b64(contents):
    return {'b64': base64.b64encode(contents).decode()}


@pytest.fixture(scope='module')
def outputs(served_signatures, images):
    """Outputs of `serve_images` for four images and an invalid one."""
    tensors = served_signatures['serve_images'](tf.constant([*images, b'no image']))
    return {key: value.numpy() for key, value in tensors.items()}


@pytest.fixture(scope='module')
def inputs(images):
    """Name and values of the input by signature."""
    contents = [*images, b'no image']
    return {
        'serve_images': ('image_bytes', contents),
        'serving_default': ('examples', [*map(only_image, contents)]),
    }


@pytest.mark.parametrize('signature', ['serve_images', 'serving_default'])
def test_grpc(served_signatures, inputs, outputs, signature):
    name, values = inputs[signature]
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = 'catdog', signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    message = model_server.predict(served_signatures, request.SerializeToString())
    response = predict_pb2.PredictResponse.FromString(message)
    assert set(response.outputs) == {'probability', 'class', 'logit'}
    for key, tensor in response.outputs.items():
        np.testing.assert_array_equal(tf.make_ndarray(tensor), outputs[key])


def test_grpc_rejects_unknown_input(served_signatures):
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = 'serve_images'
    request.inputs['image'].CopyFrom(tf.make_tensor_proto([b'']))
    with pytest.raises(model_server.BadRequest, match='image_bytes'):
        model_server.predict(served_signatures, request.SerializeToString())


@pytest.mark.parametrize('signature', ['serve_images', 'serving_default'])
@pytest.mark.parametrize('form', ['rows', 'named rows', 'columns', 'named columns'])
def test_rest(served_signatures, inputs, outputs, signature, form):
    name, values = inputs[signature]
    encoded = [*map(b64, values)]
    body = {
        'rows': {'instances': encoded},
        'named rows': {'instances': [{name: each} for each in encoded]},
        'columns': {'inputs': encoded},
        'named columns': {'inputs': {name: encoded}},
    }[form]
    body['signature_name'] = signature
    response = json.loads(model_server.post_predict(served_signatures, json.dumps(body)))
    rows = response['predictions'] if 'rows' in form else _transposed(response['outputs'])
    assert len(rows) == len(values)
    for number, row in enumerate(rows):
        assert row['class'] == [outputs['class'][number, 0].decode()]
        np.testing.assert_array_equal(
            np.float32(row['probability']), outputs['probability'][number]
        )
    assert rows[-1]['class'] == ['']


def _transposed(outputs):
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def test_nan_of_invalid_image_is_not_strict_json(served_signatures, images):
    def post(values):
        body = {'signature_name': 'serve_images', 'inputs': [*map(b64, values)]}
        return model_server.post_predict(served_signatures, json.dumps(body))

    assert model_server.strict(post(images))['outputs']['class']
    with pytest.raises(ValueError, match='NaN is not valid JSON'):
        model_server.strict(post([*images, b'no image']))
    response = json.loads(post([images[0], b'no image']))['outputs']
    first, last = model_server.numbers_or_none(response['probability'])
    assert 0 < first < 1
    assert last is None


def test_rest_with_pixels(served_signatures, pixels):
    body = {'signature_name': 'serve_pixels', 'instances': pixels[:2].tolist()}
    response = json.loads(model_server.post_predict(served_signatures, json.dumps(body)))
    direct = served_signatures['serve_pixels'](tf.cast(pixels[:2], tf.float32))
    found = np.float32([row['probability'] for row in response['predictions']])
    np.testing.assert_array_equal(found, direct['probability'].numpy())


def test_documented_python_client(served_signatures, images, tmp_path, capsys, monkeypatch):
    (code,) = re.findall(r'```python\n(# over REST.*?)```', DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / 'cat.jpg').write_bytes(images[0])
    (tmp_path / 'half.jpg').write_bytes(images[1][:300])
    monkeypatch.chdir(tmp_path)

    def urlopen(request, timeout):
        assert request.full_url == 'http://localhost:8501/v1/models/catdog:predict'
        assert timeout
        response = model_server.post_predict(served_signatures, request.data.decode())
        return contextlib.nullcontext(io.BytesIO(response.encode()))

    monkeypatch.setattr('urllib.request.urlopen', urlopen)
    exec(compile(code, str(DOCUMENT), 'exec'), {})
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'cat\.jpg: (cats|dogs) 0\.\d{3}', first)
    assert second == 'half.jpg: no image'


def test_documented_signatures_are_those_of_model(served_signatures):
    named = set(re.findall(r'^\| `(\w+)` \|', DOCUMENT.read_text(), re.MULTILINE))
    assert named == set(served_signatures)

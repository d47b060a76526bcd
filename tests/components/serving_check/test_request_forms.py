"""Every form of request that docs/serving.md shows, decoded as the model server decodes it."""

import base64
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
def answer(served_signatures, images):
    """What `serve_images` says to the four images and to what is none."""
    answer = served_signatures['serve_images'](tf.constant([*images, b'no image']))
    return {key: value.numpy() for key, value in answer.items()}


@pytest.fixture(scope='module')
def inputs(images):
    """What each signature takes, by the name of its input."""
    contents = [*images, b'no image']
    return {
        'serve_images': ('image_bytes', contents),
        'serving_default': ('examples', [*map(only_image, contents)]),
    }


@pytest.mark.parametrize('signature', ['serve_images', 'serving_default'])
def test_messages_of_grpc(served_signatures, inputs, answer, signature):
    name, values = inputs[signature]
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = 'catdog', signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    answered = model_server.predict(served_signatures, request.SerializeToString())
    response = predict_pb2.PredictResponse.FromString(answered)
    assert set(response.outputs) == {'probability', 'class', 'logit'}
    for key, tensor in response.outputs.items():
        np.testing.assert_array_equal(tf.make_ndarray(tensor), answer[key])


def test_a_message_with_another_input_is_refused(served_signatures):
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = 'serve_images'
    request.inputs['image'].CopyFrom(tf.make_tensor_proto([b'']))
    with pytest.raises(model_server.BadRequest, match='image_bytes'):
        model_server.predict(served_signatures, request.SerializeToString())


@pytest.mark.parametrize('signature', ['serve_images', 'serving_default'])
@pytest.mark.parametrize('form', ['rows', 'named rows', 'columns', 'named columns'])
def test_json_of_rest(served_signatures, inputs, answer, signature, form):
    name, values = inputs[signature]
    encoded = [*map(b64, values)]
    body = {
        'rows': {'instances': encoded},
        'named rows': {'instances': [{name: each} for each in encoded]},
        'columns': {'inputs': encoded},
        'named columns': {'inputs': {name: encoded}},
    }[form]
    body['signature_name'] = signature
    said = json.loads(model_server.post_predict(served_signatures, json.dumps(body)))
    rows = said['predictions'] if 'rows' in form else _transposed(said['outputs'])
    assert len(rows) == len(values)
    for number, row in enumerate(rows):
        assert row['class'] == [answer['class'][number, 0].decode()]
        np.testing.assert_array_equal(np.float32(row['probability']), answer['probability'][number])
    assert rows[-1]['class'] == ['']


def _transposed(outputs):
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def test_the_nan_of_a_corrupt_image_is_no_json_for_strict_readers(served_signatures, images):
    def ask(values):
        body = {'signature_name': 'serve_images', 'inputs': [*map(b64, values)]}
        return model_server.post_predict(served_signatures, json.dumps(body))

    assert model_server.strict(ask(images))['outputs']['class']
    with pytest.raises(ValueError, match='NaN is no JSON'):
        model_server.strict(ask([*images, b'no image']))
    said = json.loads(ask([images[0], b'no image']))['outputs']
    first, last = model_server.numbers_or_none(said['probability'])
    assert 0 < first < 1
    assert last is None


def test_pixels_in_json_get_the_same_answers_without_any_decoding(served_signatures, pixels):
    body = {'signature_name': 'serve_pixels', 'instances': pixels[:2].tolist()}
    said = json.loads(model_server.post_predict(served_signatures, json.dumps(body)))
    direct = served_signatures['serve_pixels'](tf.cast(pixels[:2], tf.float32))
    found = np.float32([row['probability'] for row in said['predictions']])
    np.testing.assert_array_equal(found, direct['probability'].numpy())


def test_the_python_of_the_document_reads_what_the_server_answers(
    served_signatures, images, tmp_path, capsys, monkeypatch
):
    """The example over REST, with the server's answers in place of the network."""
    (code,) = re.findall(r'```python\n(# over REST.*?)```', DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / 'cat.jpg').write_bytes(images[0])
    (tmp_path / 'half.jpg').write_bytes(images[1][:300])
    monkeypatch.chdir(tmp_path)

    def urlopen(request, timeout):
        assert request.full_url == 'http://localhost:8501/v1/models/catdog:predict'
        assert timeout
        answered = model_server.post_predict(served_signatures, request.data.decode())
        return _Response(answered.encode())

    monkeypatch.setattr('urllib.request.urlopen', urlopen)
    exec(compile(code, str(DOCUMENT), 'exec'), {})
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'cat\.jpg: (cats|dogs) 0\.\d{3}', first)
    assert second == 'half.jpg: no image'


class _Response:
    def __init__(self, contents):
        self._contents = contents

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def read(self):
        return self._contents


def test_the_signatures_of_the_document_are_those_of_the_model(served_signatures):
    named = set(re.findall(r'^\| `(\w+)` \|', DOCUMENT.read_text(), re.MULTILINE))
    assert named == set(served_signatures)

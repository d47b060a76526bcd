"""Request and response bodies of TensorFlow Serving's REST API."""

import base64
import json
import os

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from pipeline.serving.rest import parse_request, predictions
from trainer.export.image_example import only_image

ONE, TWO = ({'b64': base64.b64encode(value).decode()} for value in (b'one', b'two'))
EXAMPLE = {'b64': base64.b64encode(only_image(b'one')).decode()}
NO_IMAGE = {'b64': base64.b64encode(b'\x0a\x00').decode()}
IMAGES = {'signature_name': 'serve_images'}


@pytest.mark.parametrize(
    ('given', 'parsed'),
    [
        ({**IMAGES, 'instances': [ONE, TWO]}, (True, [b'one', b'two'])),
        ({**IMAGES, 'instances': [{'image_bytes': ONE}]}, (True, [b'one'])),
        ({**IMAGES, 'inputs': [ONE, TWO]}, (False, [b'one', b'two'])),
        ({**IMAGES, 'inputs': {'image_bytes': [ONE, TWO]}}, (False, [b'one', b'two'])),
        ({'instances': [EXAMPLE]}, (True, [b'one'])),
        ({'signature_name': '', 'instances': [EXAMPLE]}, (True, [b'one'])),
        ({'signature_name': None, 'inputs': {'examples': [EXAMPLE]}}, (False, [b'one'])),
        ({'signature_name': 'serve_pixels', 'instances': [[[2.5]]]}, (True, [[[2.5]]])),
    ],
    ids=str,
)
def test_reads_images_in_row_and_column_format(given, parsed):
    request = parse_request(json.dumps(given).encode(), 'application/json')

    assert (request.by_row, request.images) == parsed
    assert request.signature == (given.get('signature_name') or 'serving_default')


def test_reads_files_of_a_form_unchanged():
    contents = os.urandom(1000) + b'\r\n\r\r\n--b-\n'
    parts = [
        b'name="signature_name"\r\n\r\nexplain_images',
        b'name="a"; filename="x"\r\n\r\n' + contents,
        b'name="a"; filename="y"\r\n\r\n',
    ]
    body = b''.join(b'--b\r\nContent-Disposition: form-data; ' + each + b'\r\n' for each in parts)

    parsed = parse_request(body + b'--b--\r\n', 'multipart/form-data; boundary=b')

    assert parsed == ('explain_images', True, [contents, b''])
    with pytest.raises(HTTPException, match='the form cannot be read'):
        parse_request(b'x', 'multipart/form-data; boundary=b')


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        (b'', 'the body is not JSON'),
        (b'{"a":' * 10_000, 'the body is not JSON'),
        (b'\xff', 'the body is not JSON'),
        (b'[]', "a JSON object with either 'instances' or 'inputs'"),
        ({}, "either 'instances' or 'inputs'"),
        ({'instances': [ONE], 'inputs': [ONE]}, "either 'instances' or 'inputs'"),
        ({'instances': ONE}, 'instances is not a list'),
        ({'inputs': {'image_bytes': [ONE], 'x': 1}}, 'inputs is not a list'),
        ({'instances': [{'image_bytes': ONE, 'x': 1}]}, 'instances[0] is not an object with'),
        ({'instances': [ONE, 'text']}, 'instances[1] is not an object with the key b64'),
        ({'instances': [{'b64': 'a'}]}, 'instances[0] is not'),
        ({'instances': [{'b64': '\ud800'}]}, 'instances[0] is not'),
        ({'instances': [ONE], 'signature_name': '\ud800'}, 'signature_name must be one of'),
        ({'instances': [ONE], 'signature_name': ['serve_images']}, 'signature_name must be one of'),
        ({'instances': [ONE], 'signature_name': ''}, 'not a tf.Example'),
        ({'instances': [NO_IMAGE], 'signature_name': ''}, 'not a tf.Example'),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_refuses_malformed_requests(body, message):
    if isinstance(body, dict):
        body = json.dumps({**IMAGES, **body}).encode()

    with pytest.raises(HTTPException) as refused:
        parse_request(body, 'application/json')

    assert refused.value.status_code == 400
    assert message in refused.value.detail


def test_predictions_have_a_row_per_image_or_a_column_per_output():
    outputs = {
        'class': np.array([[b'cat'], ['Käfer'.encode()], [b'']], object),
        'probability': np.array([[0.25], [0.5], [np.nan]], np.float32),
        'logit': np.array([[-1], [0], [np.nan]], np.float32),
    }
    cat = {'class': 'cat', 'confidence': 0.75, 'probabilities': {'cat': 0.75, 'Käfer': 0.25}}
    beetle = {'class': 'Käfer', 'confidence': 0.5, 'probabilities': {'Käfer': 0.5, 'cat': 0.5}}
    nothing = {'class': None, 'confidence': None, 'probabilities': None}
    rows = [{**cat, 'logit': [-1]}, {**beetle, 'logit': [0]}, {**nothing, 'logit': [None]}]

    assert predictions(outputs, ['cat', 'Käfer'], by_row=True) == {'predictions': rows}
    assert predictions(outputs, ['cat', 'Käfer'], by_row=False) == {
        'outputs': {key: [row[key] for row in rows] for key in rows[0]}
    }


def test_predictions_of_three_classes_are_sorted_by_probability():
    outputs = {
        'class': np.array([[b'b']], object),
        'probability': np.array([[0.2, 0.5, 0.3]], np.float32),
    }
    (row,) = predictions(outputs, ['a', 'b', 'c'], by_row=True)['predictions']

    assert list(row['probabilities'].items()) == [('b', 0.5), ('c', 0.3), ('a', 0.2)]

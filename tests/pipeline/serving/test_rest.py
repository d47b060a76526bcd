"""Request and response bodies of TensorFlow Serving's REST API."""

import base64
import json

import numpy as np
import pytest
from starlette.exceptions import HTTPException

from pipeline.serving.rest import json_response, parse_request, predictions
from trainer.export.image_example import only_image

ONE, TWO = ({'b64': base64.b64encode(value).decode()} for value in (b'one', b'two'))
EXAMPLE = {'b64': base64.b64encode(only_image(b'one')).decode()}
NO_IMAGE = {'b64': base64.b64encode(b'\x0a\x00').decode()}


def parse(**body):
    return parse_request(json.dumps(body).encode(), max_images=3, image_size=2)


@pytest.mark.parametrize(
    ('given', 'by_row'),
    [
        ({'instances': [ONE, TWO]}, True),
        ({'instances': [{'image_bytes': ONE}, {'image_bytes': TWO}]}, True),
        ({'inputs': [ONE, TWO]}, False),
        ({'inputs': {'image_bytes': [ONE, TWO]}}, False),
    ],
)
def test_reads_images_in_row_and_column_format(given, by_row):
    parsed = parse(signature_name='serve_images', **given)

    assert (parsed.files, parsed.by_row) == ((b'one', b'two'), by_row)


def test_default_signature_reads_examples():
    assert parse(instances=[EXAMPLE]).files == (b'one',)
    assert parse(inputs={'examples': [EXAMPLE]}).signature == 'serving_default'


def test_reads_pixels():
    parsed = parse(signature_name='serve_pixels', instances=[[[[0, 1, 2.5]]]])

    np.testing.assert_array_equal(parsed.pixels, np.array([[[[0, 1, 2.5]]]], np.float32))


@pytest.mark.parametrize(
    ('body', 'message'),
    [
        ('', 'the body is not JSON'),
        ('[' * 1000, 'the body is not JSON'),
        (b'\xff', 'the body is not JSON'),
        ('{"":' * 1100 + '0' + '}' * 1100, 'the body has more values than 3 images'),
        ('[' * 1100 + ']' * 1100, 'the body has more values than 3 images'),
        ('[' + '[],' * 1100 + '[]]', 'the body has more values than 3 images'),
        ('[]', 'the body is not a JSON object'),
        ('{}', "either 'instances' or 'inputs'"),
        ({'instances': [ONE], 'inputs': [ONE]}, "either 'instances' or 'inputs'"),
        ({'instances': []}, 'instances has no images'),
        ({'instances': ONE}, 'instances is not a list'),
        ({'inputs': {'other': [ONE]}}, 'inputs is not a list'),
        ({'inputs': {'image_bytes': [ONE], 'x': 1}}, 'inputs has other keys than image_bytes'),
        ({'instances': [{'image_bytes': ONE, 'x': 1}]}, 'instances[0] has other keys than'),
        ({'instances': [ONE] * 4}, 'instances has 4 images; at most 3 are allowed'),
        ({'instances': [ONE, 'text']}, 'instances[1] is not an object with the single key b64'),
        ({'instances': [{'b64': 'a'}]}, 'instances[0] is not base64'),
        ({'instances': [{'b64': '\ud800'}]}, 'instances[0] is not base64'),
        ({'instances': [ONE], 'signature_name': '\ud800'}, 'signature_name must be one of'),
        ({'instances': [ONE], 'signature_name': ['serve_images']}, 'signature_name must be one of'),
        ({'instances': [ONE], 'signature_name': 'serving_default'}, 'not a tf.Example'),
        ({'instances': [NO_IMAGE], 'signature_name': 'serving_default'}, 'not a tf.Example'),
        ({'instances': [[1, [2]]], 'signature_name': 'serve_pixels'}, 'not an array of numbers'),
        ({'instances': [10**400], 'signature_name': 'serve_pixels'}, 'not an array of numbers'),
        ({'instances': [{}], 'signature_name': 'serve_pixels'}, 'not an array of numbers'),
    ],
    ids=lambda value: str(value)[:50].encode('ascii', 'replace').decode(),
)
def test_refuses_malformed_requests(body, message):
    if isinstance(body, dict):
        body = json.dumps({'signature_name': 'serve_images', **body})
    if isinstance(body, str):
        body = body.encode()

    with pytest.raises(HTTPException) as refused:
        parse_request(body, max_images=3, image_size=2)

    assert refused.value.status_code == 400
    assert message in refused.value.detail


def test_predictions_have_a_row_per_image_or_a_column_per_output():
    rows = [
        {'class': np.array([name], object), 'probability': np.array([value], np.float32)}
        for name, value in ((b'cat', 0.25), ('Käfer'.encode(), 0.5))
    ]

    assert predictions(rows, by_row=True) == {
        'predictions': [
            {'class': ['cat'], 'probability': [0.25]},
            {'class': ['Käfer'], 'probability': [0.5]},
        ]
    }
    assert predictions(rows, by_row=False) == {
        'outputs': {'class': [['cat'], ['Käfer']], 'probability': [[0.25], [0.5]]}
    }


def test_response_writes_nan_as_tensorflow_serving_and_escapes_lone_surrogates():
    assert (
        json_response({'a': [float('nan')], 'b': '\ud800'}).body == b'{"a": [NaN], "b": "\\ud800"}'
    )

"""Requests and responses of TensorFlow Serving's REST API, in row and in column format.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from common import features
from trainer.export.image_example import image_of

Row = dict[str, np.ndarray]  # outputs of one image by name, without the dimension of the batch

_INPUTS = {
    features.SIGNATURE_EXAMPLES: features.EXAMPLES_INPUT,
    features.SIGNATURE_IMAGES: features.IMAGES_INPUT,
    features.SIGNATURE_EXPLANATION: features.IMAGES_INPUT,
    features.SIGNATURE_PIXELS: features.PIXELS_INPUT,
}

_OTHER_VALUES = 1000  # commas and brackets of a body, besides those of pixels


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """The images of a request, in the order of its instances."""

    signature: str
    by_row: bool  # `instances` and `predictions`, or `inputs` and `outputs`
    files: tuple[bytes, ...] = ()  # contents of image files
    pixels: tuple[np.ndarray, ...] = ()  # for `serve_pixels`: float32 arrays of any shape


def parse_request(body: bytes | bytearray, max_images: int, image_size: int) -> PredictRequest:
    """Parses the body of a predict request.

    Raises HTTPException with status 400 if it is malformed or has more than `max_images` images, of
    which `serve_pixels` takes `image_size` by `image_size` pixels.
    """
    # Many small values take seconds and a hundred times the memory of the text; files are long.
    pixels = image_size**2 * max_images
    rows = max_images * (image_size + 1)  # and images
    most = {b',': 3 * pixels, b'[': pixels + rows, b'{': 2 * max_images}
    if any(body.count(mark) > limit + _OTHER_VALUES for mark, limit in most.items()):
        raise _invalid(f'the body has more values than {max_images:,} images')
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f'the body is not JSON: {str(error)[:200]}') from error
    if not isinstance(request, dict):
        raise _invalid('the body is not a JSON object')
    signature = request.get('signature_name', features.SIGNATURE_EXAMPLES)
    if not isinstance(signature, str) or signature not in _INPUTS:
        raise _invalid(f'signature_name must be one of {", ".join(_INPUTS)}')
    keys = [key for key in ('instances', 'inputs') if key in request]
    if len(keys) != 1:
        raise _invalid("the body must have either 'instances' or 'inputs'")
    (key,) = keys
    values = _values(request[key], _INPUTS[signature], key)
    if not values:
        raise _invalid(f'{key} has no images')
    if len(values) > max_images:
        raise _invalid(f'{key} has {len(values):,} images; at most {max_images:,} are allowed')
    numbered = [(value, f'{key}[{number}]') for number, value in enumerate(values)]
    by_row = key == 'instances'
    if signature == features.SIGNATURE_PIXELS:
        return PredictRequest(signature, by_row, pixels=tuple(_pixels(*each) for each in numbered))
    read = _example if signature == features.SIGNATURE_EXAMPLES else _bytes
    return PredictRequest(signature, by_row, files=tuple(read(*each) for each in numbered))


def _values(given: Any, name: str, key: str) -> list[Any]:
    """The value of each image; the name of the input may be left out, because there is one."""
    if key == 'inputs' and isinstance(given, dict) and name in given:
        _check_only_key(given, name, key)
        given = given[name]
    if not isinstance(given, list):
        raise _invalid(f'{key} is not a list')
    if key == 'inputs':
        return given
    values = []
    for number, value in enumerate(given):
        named = isinstance(value, dict) and name in value
        if named:
            _check_only_key(value, name, f'{key}[{number}]')
        values.append(value[name] if named else value)
    return values


def _check_only_key(given: dict[str, Any], name: str, where: str) -> None:
    if len(given) > 1:
        raise _invalid(f'{where} has other keys than {name}')


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, dict) or [*value] != ['b64'] or not isinstance(value['b64'], str):
        raise _invalid(f'{where} is not an object with the single key b64')
    try:
        return base64.b64decode(value['b64'], validate=True)
    except ValueError:
        raise _invalid(f'{where} is not base64') from None


def _example(value: Any, where: str) -> bytes:
    try:
        return image_of(_bytes(value, where))
    except (DecodeError, IndexError):
        raise _invalid(f'{where} is not a tf.Example with {features.IMAGE_BYTES}') from None


def _pixels(value: Any, where: str) -> np.ndarray:
    try:
        return np.asarray(value, np.float32)
    except (ValueError, TypeError, OverflowError):
        raise _invalid(f'{where} is not an array of numbers') from None


def _invalid(message: str) -> HTTPException:
    return HTTPException(400, message)


def predictions(rows: Sequence[Row], by_row: bool) -> dict[str, Any]:
    """The body of a response, with one row per image."""
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    if by_row:
        return {'predictions': plain}
    return {'outputs': {name: [row[name] for row in plain] for name in plain[0]}}


def _plain(value: np.ndarray) -> Any:
    if value.dtype.kind == 'f':
        return value.tolist()
    return [each.decode() if isinstance(each, bytes) else each for each in value.tolist()]


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON response. NaN is written without quotes, as by TensorFlow Serving."""
    headers = {'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store'}
    return Response(json.dumps(content), status, headers, media_type='application/json')

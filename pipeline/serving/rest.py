"""Requests and responses of TensorFlow Serving's REST API, and uploads of image files.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import io
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from starlette.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from common import features
from components.inference.classifier import rows_of
from trainer.export.image_example import image_of

_INPUTS = {
    features.SIGNATURE_EXAMPLES: features.EXAMPLES_INPUT,
    features.SIGNATURE_IMAGES: features.IMAGES_INPUT,
    features.SIGNATURE_EXPLANATION: features.IMAGES_INPUT,
    features.SIGNATURE_PIXELS: features.PIXELS_INPUT,
}
_UPLOAD = {'signature_name': features.SIGNATURE_IMAGES}


class PredictRequest(NamedTuple):
    """The images of a request, in order."""

    signature: str
    by_row: bool  # `instances` and `predictions`, or `inputs` and `outputs`
    images: list[Any]  # contents of files, also of `serving_default`; or lists of numbers


def parse_request(body: bytes, content_type: str) -> PredictRequest:
    """Parses a JSON object, a form with files (`curl -F`), or the contents of one image file.

    Raises HTTPException with status 400 if the body is malformed.
    """
    kind, options = parse_options_header(content_type)
    if kind == 'multipart/form-data':
        return _parse_form(body, kind, options)
    if kind != 'application/json' and not re.match(rb'\s*[{\[]', body):
        return PredictRequest(features.SIGNATURE_IMAGES, by_row=True, images=[body])
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f'the body is not JSON: {str(error)[:200]}') from error
    if not isinstance(request, dict) or len(request.keys() & {'instances', 'inputs'}) != 1:
        raise _invalid("the body must be a JSON object with either 'instances' or 'inputs'")
    signature = _signature(request)
    by_row = 'instances' in request
    key = 'instances' if by_row else 'inputs'
    name, values = _INPUTS[signature], request[key]
    if not by_row:
        values = _unnamed(values, name)
    if not isinstance(values, list):
        raise _invalid(f'{key} is not a list of images')
    if by_row:
        values = [_unnamed(value, name) for value in values]
    if signature != features.SIGNATURE_PIXELS:
        values = [_contents(value, f'{key}[{n}]', signature) for n, value in enumerate(values)]
    return PredictRequest(signature, by_row, values)


def _parse_form(body: bytes, kind: str, options: dict[str, str]) -> PredictRequest:
    try:
        # In memory, as the body is; the default are temporary files that nobody closes.
        parser = FormDataParser(stream_factory=lambda *_, **__: io.BytesIO(), silent=False)
        _, fields, files = parser.parse(io.BytesIO(body), kind, len(body), options)
    except ValueError as error:
        raise _invalid(f'the form cannot be read: {error}') from error
    contents = [file.read() for _, file in files.items(multi=True)]
    return PredictRequest(_signature(_UPLOAD | fields.to_dict()), by_row=True, images=contents)


def _signature(request: dict[str, Any]) -> str:
    name = request.get('signature_name') or features.SIGNATURE_EXAMPLES
    if not isinstance(name, str) or name not in _INPUTS:
        raise _invalid(f'signature_name must be one of {", ".join(_INPUTS)}')
    return name


def _unnamed(value: Any, name: str) -> Any:
    """The value of the only input of a signature, whose name may be left out."""
    return value[name] if isinstance(value, dict) and [*value] == [name] else value


def _contents(value: Any, where: str, signature: str) -> bytes:
    try:
        contents = base64.b64decode(value['b64'], validate=True)
        return image_of(contents) if signature == features.SIGNATURE_EXAMPLES else contents
    except (TypeError, KeyError, ValueError):
        raise _invalid(f'{where} is not an object with the key b64 and base64') from None
    except (DecodeError, IndexError):
        raise _invalid(f'{where} is not a tf.Example with {features.IMAGE_BYTES}') from None


def _invalid(message: str) -> HTTPException:
    return HTTPException(400, message)


def predictions(
    outputs: dict[str, np.ndarray], classes: Sequence[str], by_row: bool
) -> dict[str, Any]:
    """The body of a response: one object per image, or one list per output.

    Class, confidence and probabilities are those of `predict --json`; other outputs are unchanged.
    NaN is None, which JSON has.
    """
    others = {
        key: np.where(np.isnan(outputs[key]), np.array(None), outputs[key]).tolist()
        for key in sorted(outputs.keys() - {features.CLASS, features.PROBABILITY})
    }
    rows = [
        row | {key: values[number] for key, values in others.items()}
        for number, row in enumerate(rows_of(outputs, classes))
    ]
    if by_row:
        return {'predictions': rows}
    return {'outputs': {key: [row[key] for row in rows] for key in rows[0]}}

"""Statements and examples of the documentation, compared with a model."""

import base64
import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import tensorflow as tf

import components
from common import features

DOCUMENTS = Path(components.__path__[0]).parent / 'docs'
SIGNATURES, CLIENT = DOCUMENTS / 'reference' / 'model.md', DOCUMENTS / 'how-to' / 'serving.md'


def test_documented_signatures_and_inputs_are_those_of_model(served):
    signatures = tf.saved_model.load(str(served)).signatures

    documented = re.findall(r'^\| `(\w+)` \| `(\w+)`', SIGNATURES.read_text(), re.MULTILINE)

    assert dict(documented) == {
        name: next(iter(signature.structured_input_signature[1]))
        for name, signature in signatures.items()
    }


def test_documented_python_client(served, images, tmp_path, capsys, monkeypatch):
    (code,) = re.findall(r'```python\n(# over REST.*?)```', CLIENT.read_text(), re.DOTALL)
    (tmp_path / 'cat.jpg').write_bytes(images[0])
    (tmp_path / 'half.jpg').write_bytes(images[1][:300])
    monkeypatch.chdir(tmp_path)
    signatures = tf.saved_model.load(str(served)).signatures

    def urlopen(request, timeout):
        """Predicts like the REST API of TensorFlow Serving, which writes NaN literally."""
        assert request.full_url == 'http://localhost:8501/v1/models/catdog:predict'
        body = json.loads(request.data)
        contents = [base64.b64decode(each['b64']) for each in body['instances']]
        outputs = signatures[body['signature_name']](image_bytes=tf.constant(contents))
        columns = {key: outputs[key].numpy() for key in (features.CLASS, features.PROBABILITY)}
        columns[features.CLASS] = np.char.decode(columns[features.CLASS].astype(bytes))
        rows = [{key: columns[key][n].tolist() for key in columns} for n in range(len(contents))]
        return contextlib.nullcontext(io.BytesIO(json.dumps({'predictions': rows}).encode()))

    monkeypatch.setattr('urllib.request.urlopen', urlopen)
    exec(compile(code, str(CLIENT), 'exec'), {})

    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'cat\.jpg: (cats|dogs), probability of the second class 0\.\d{3}', first)
    assert second == 'half.jpg: not an image'

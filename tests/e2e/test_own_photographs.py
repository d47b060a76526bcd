"""From a folder of photographs to predictions over HTTP, in the commands of the README."""

import re
import subprocess
import sys

import pytest
import requests
from workspace import RUNNER

CLASSES = ('cardboard', 'glass', 'metal', 'paper', 'plastic', 'trash')


@pytest.mark.slow
def test_photographs_of_six_classes_to_predictions_over_http(tmp_path, make_image_folder):
    photographs = make_image_folder(tmp_path / 'my_photos', 60, CLASSES, size=(96, 96))

    def start(*words):
        command = [sys.executable, RUNNER, *words]
        return subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE)

    for words in (['init', 'my_photos', '--weights=embedded'], ['run']):
        with start(*words) as process:
            printed, _ = process.communicate(timeout=400)
        assert process.returncode == 0, printed
    with start('serve', '--port=0') as server:
        try:
            assert server.stdout
            model = server.stdout.readline()
            address = re.match(r'(http://127\.0\.0\.1:\d+/) ', server.stdout.readline())
            assert address, model
            image = (photographs / 'trash' / 'trash-0-0.jpg').read_bytes()
            answer = requests.post(
                f'{address[1]}v1/models/my_photos:predict', files={'file': image}, timeout=60
            )
        finally:
            server.terminate()

    (prediction,) = answer.json()['predictions']
    assert prediction['class'] == 'trash'
    assert prediction['probabilities'].keys() == {*CLASSES}

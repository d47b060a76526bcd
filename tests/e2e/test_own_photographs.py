"""From a folder of photographs to predictions over HTTP, in the commands of the README."""

import random
import re
import subprocess
import sys

import PIL.Image
import PIL.ImageDraw
import pytest
import requests
from workspace import RUNNER

SIDE, PER_CLASS = 96, 60
SHAPES = {  # six classes, by the points of polygons
    'cardboard': [[(20, 20), (76, 20), (76, 76), (20, 76)]],
    'glass': [[(48, 10), (86, 86), (10, 86)]],
    'metal': [[(0, y), (96, y), (96, y + 8), (0, y + 8)] for y in range(0, 96, 16)],
    'paper': [[(x, 0), (x + 8, 0), (x + 8, 96), (x, 96)] for x in range(0, 96, 16)],
    'plastic': [[(4, 4), (24, 4), (24, 24), (4, 24)], [(72, 72), (92, 72), (92, 92), (72, 92)]],
    'trash': [[(48, y), (40, y + 4), (48, y + 8), (56, y + 4)] for y in range(0, 96, 12)],
}


@pytest.fixture
def photographs(tmp_path):
    """A folder of drawings of the shapes, in random colours and at random places."""
    generator = random.Random(0)
    for name, polygons in SHAPES.items():
        (tmp_path / 'my_photos' / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            back, front = generator.sample(range(0, 256, 32), 2)
            right, down = generator.sample(range(-8, 9), 2)
            image = PIL.Image.new('RGB', (SIDE, SIDE), (back, generator.randrange(256), 128))
            draw = PIL.ImageDraw.Draw(image)
            for points in polygons:
                moved = [(x + right, y + down) for x, y in points]
                draw.polygon(moved, fill=(front, generator.randrange(128), 0))
            image.save(tmp_path / 'my_photos' / name / f'{number}.jpg')
    return tmp_path / 'my_photos'


@pytest.mark.slow
def test_photographs_of_six_classes_to_predictions_over_http(photographs):
    def start(*words):
        command = [sys.executable, RUNNER, *words]
        return subprocess.Popen(command, cwd=photographs.parent, text=True, stdout=subprocess.PIPE)

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
            image = (photographs / 'trash' / '0.jpg').read_bytes()
            answer = requests.post(
                f'{address[1]}v1/models/my_photos:predict', files={'file': image}, timeout=60
            )
        finally:
            server.terminate()

    (prediction,) = answer.json()['predictions']
    assert prediction['class'] == 'trash'
    assert prediction['probabilities'].keys() == set(SHAPES)

"""Labelled cat and dog drawings, made on the spot: a data set that needs no download.

`draw(index)` returns one JPEG. What is not the animal (size, place, pose, coat, light, background,
clutter, blur, noise, JPEG quality) is sampled in the same way for both classes, so only the anatomy
tells them apart: ears, outline of the head, eyes, muzzle, nose, whiskers, tongue. Dogs may have
erect ears, so no single feature is enough. To make the data harder or easier, change the ranges in
`parameters.py` and run `benchmarks/drawings_difficulty.py`.
"""

import numpy as np

from components.image_example_gen.sources.drawings.animal import draw_animal
from components.image_example_gen.sources.drawings.camera import photograph
from components.image_example_gen.sources.drawings.parameters import sample
from components.image_example_gen.sources.drawings.scene import draw_background, draw_foreground

CLASSES = ('cat', 'dog')


def draw(index: int, *, seed: int = 0) -> bytes:
    """Draws one animal; its class is `CLASSES[index % 2]`.

    A pure function of its arguments: with the same NumPy and Pillow the bytes are the same in any
    process and any order. The RGB JPEG is 96 to 200 pixels wide and high.

    Raises:
        ValueError: if `index` or `seed` is negative.
    """
    if index < 0 or seed < 0:
        raise ValueError(f'index and seed must not be negative, got {index} and {seed}')
    rng = np.random.default_rng((seed, index))
    parameters = sample(CLASSES[index % 2], rng)
    canvas = draw_background(parameters, rng)
    draw_animal(canvas, parameters, rng)
    draw_foreground(canvas, parameters, rng)
    return photograph(canvas, parameters.camera, rng)

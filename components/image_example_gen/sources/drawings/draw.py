"""Draws one labelled animal as a JPEG.

Size, position, pose, coat, light, background, clutter, blur, noise and JPEG quality are sampled in
the same way for both classes. Only the anatomy differs: ears, outline of the head, eyes, muzzle,
nose, whiskers, tongue. Dogs may have erect ears, so no single feature is sufficient. To make the
data harder or easier, change the ranges in `parameters.py` and run
`benchmarks/drawings_difficulty.py`.
"""

import numpy as np

from components.image_example_gen.sources.drawings.animal import draw_animal
from components.image_example_gen.sources.drawings.camera import photograph
from components.image_example_gen.sources.drawings.parameters import sample
from components.image_example_gen.sources.drawings.scene import draw_background, draw_foreground

CLASSES = ('cat', 'dog')


def draw(index: int, *, seed: int = 0) -> bytes:
    """Draws one animal; its class is `CLASSES[index % 2]`.

    Deterministic for the same versions of NumPy and Pillow, in any process and order. Returns an
    RGB JPEG, 96 to 200 pixels wide and high.

    Raises:
        ValueError: `index` or `seed` is negative.
    """
    if index < 0 or seed < 0:
        raise ValueError(f'index and seed must not be negative, got {index} and {seed}')
    rng = np.random.default_rng((seed, index))
    parameters = sample(CLASSES[index % 2], rng)
    canvas = draw_background(parameters, rng)
    draw_animal(canvas, parameters, rng)
    draw_foreground(canvas, parameters, rng)
    return photograph(canvas, parameters.camera, rng)

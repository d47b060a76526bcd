"""Made sets of images as people have them: few or many classes, rare ones, other layouts.

The classes are polygons with different hues and numbers of corners.
"""

import colorsys
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pyarrow as pa
import pyarrow.parquet

SIDE = 64  # pixels


def draw(label: int, classes: int, number: int) -> PIL.Image.Image:
    """A polygon: its class gives the hue and the number of corners, place and size vary."""
    random = np.random.default_rng((label, number))
    noise = random.integers(60, 190, (8, 8, 3), dtype=np.uint8)
    image = PIL.Image.fromarray(noise).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)
    centre, radius = random.uniform(0.35, 0.65, 2) * SIDE, random.uniform(0.2, 0.35) * SIDE
    hue = (label / classes + random.normal(0, 0.1 / classes)) % 1
    colour = tuple(int(255 * each) for each in colorsys.hsv_to_rgb(hue, 0.9, 0.9))
    corners, turn = 3 + label % 5, random.uniform(0, 360)
    circle = (*centre, radius)
    PIL.ImageDraw.Draw(image).regular_polygon(circle, corners, turn, colour)
    return image


def write(file: Path, *drawn: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draw(*drawn).save(file, quality=90)


def folders(root: Path, *counts: int) -> None:
    """A folder per class, with so many images."""
    for label, count in enumerate(counts):
        for number in range(count):
            write(root / f'class {label}' / f'{number}.jpg', label, len(counts), number)


def nested(root: Path) -> None:
    """Classes at different depths, divided into train and test."""
    leaves = ('Fruit/Apple/Royal-Gala', 'Fruit/Apple/Braeburn', 'Fruit/Pear', 'Vegetable/Leek')
    for part, numbers in (('train', range(60)), ('test', range(60, 80))):
        for label, leaf in enumerate(leaves):
            for number in numbers:
                write(root / part / leaf / f'{number}.jpg', label, len(leaves), number)


def csv_beside_folder(root: Path) -> None:
    """`legend.csv`, with a column for something else, beside `images`."""
    rows = ['user.id,image,emotion']
    for label, name in enumerate(('anger', 'happiness', 'neutral')):
        for number in range(80):
            write(root / 'images' / f'{name[0]}{number}.jpg', label, 3, number)
            rows.append(f'{number % 7},{name[0]}{number}.jpg,{name}')
    (root / 'legend.csv').write_text('\n'.join(rows), encoding='utf-8')


def parquet(root: Path) -> None:
    """Files for train and test as on Hugging Face, with columns of other names."""
    for part, numbers in (('train', range(100)), ('test', range(100, 140))):
        pairs = [(label, number) for label in range(4) for number in numbers]
        images = []
        for label, number in pairs:
            draw(label, 4, number).save(stored := io.BytesIO(), 'PNG')
            images.append({'bytes': stored.getvalue(), 'path': None})
        columns = {'img': images, 'fine_label': [label for label, _ in pairs]}
        (root / 'data').mkdir(parents=True, exist_ok=True)
        file = root / 'data' / f'{part}-00000-of-00001.parquet'
        pyarrow.parquet.write_table(pa.table(columns), file)


def masks(root: Path) -> None:
    """A PNG mask beside each JPEG, of the same stem."""
    folders(root, 120, 120)
    for file in list(root.rglob('*.jpg')):
        with PIL.Image.open(file) as image:
            image.convert('L').point(lambda value: 255 * (value > 128)).save(
                file.with_suffix('.png')
            )


SETS: Mapping[str, Callable[[Path], None]] = {
    '2 classes': lambda root: folders(root, 150, 150),
    '28 classes of 40': lambda root: folders(root, *[40] * 28),
    '100 classes of 20': lambda root: folders(root, *[20] * 100),
    '1001 and 10': lambda root: folders(root, 1001, 10),
    'nested': nested,
    'CSV beside a folder': csv_beside_folder,
    'Parquet with own splits': parquet,
    'masks beside images': masks,
}

"""Made sets of images as people have them: few or many classes, rare ones, other layouts.

The classes of SETS are polygons with different hues and numbers of corners. CHANGED needs
hand_signs_2062.zip in the folder of CATDOG_DATA.
"""

import colorsys
import io
import os
import zipfile
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


def textures(root: Path) -> None:
    """Six kinds of waves with noise: three directions, two lengths; any two colours."""
    y, x = np.mgrid[:128, :128]
    for label in range(6):
        for number in range(150):
            random = np.random.default_rng((label, number))
            angle = np.pi * (label % 3) / 3 + random.normal(0, 0.12)
            length = (9, 13)[label // 3] * random.uniform(0.9, 1.1)
            wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length)
            share = (0.5 + 0.2 * wave + random.normal(0, 0.2, wave.shape)).clip(0, 1)[..., None]
            dark, light = random.uniform(0, 255, (2, 3))
            image = PIL.Image.fromarray((dark + share * (light - dark)).astype(np.uint8))
            file = root / f'class {label}' / f'{number}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file, quality=90)


def changed_signs(root: Path, *, count: int, recolour: bool) -> None:
    """At most `count` hand signs of each class; recoloured: negatives with red and blue swapped."""
    with zipfile.ZipFile(Path(os.environ['CATDOG_DATA']) / 'hand_signs_2062.zip') as archive:
        files = sorted(name for name in archive.namelist() if name.lower().endswith('.jpg'))
        for label in sorted({name.split('/')[1] for name in files}):
            for name in [each for each in files if each.split('/')[1] == label][:count]:
                pixels = np.asarray(PIL.Image.open(archive.open(name)).convert('RGB'))
                pixels = 255 - pixels[..., ::-1] if recolour else pixels
                file = root / label / Path(name).name
                file.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(pixels).save(file, quality=95)


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

# For the values that the Trainer chooses, beside photographs.
CHANGED: Mapping[str, Callable[[Path], None]] = {
    '28 classes': SETS['28 classes of 40'],
    'textures': textures,
    'few hand signs': lambda root: changed_signs(root, count=28, recolour=False),
    'recoloured hand signs': lambda root: changed_signs(root, count=10_000, recolour=True),
}

"""The collection: several drawings of each class of figures and textures, in two files.

A scene combines one figure and two textures with random colours, sizes and light (`scenes.py`), so
a few dozen drawings per class give many more images.
"""

import dataclasses
import hashlib
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from common import console
from pretraining import textures, tones
from pretraining.assemblies import SIBLINGS, draw_assembly, sample_assembly
from pretraining.contours import draw_contour, sample_contour
from pretraining.fractals import draw_fractal, sample_fractal
from pretraining.settings import Counts, code_digest

_CLASS, _BASE, _DRAWINGS = 0, 1, 2  # purposes of random streams


@dataclasses.dataclass(frozen=True)
class Collection:
    """All drawings, memory-mapped from disk.

    Attributes:
        figures: tones, uint8 [classes, drawings, tones.SIDE, tones.SIDE].
        textures: uint8 [classes, drawings, textures.SIDE, textures.SIDE].
    """

    figures: np.ndarray
    textures: np.ndarray


def make_collection(counts: Counts, seed: int, folder: Path) -> Collection:
    """Draws the missing part of the collection, with one process per core.

    The drawings depend only on the code, `counts` and `seed`.

    Raises:
        OSError: the disk is full.
    """
    jobs = {
        'figures': [
            *((_assembly, number) for number in range(counts.assemblies)),
            *((_contour, number) for number in range(counts.contours)),
            *((_fractal, number) for number in range(counts.fractals)),
        ],
        'textures': [(_texture, number) for number in range(counts.textures)],
    }
    each = {'figures': counts.figures_each, 'textures': counts.textures_each}
    side = {'figures': tones.SIDE, 'textures': textures.SIDE}
    name = hashlib.sha256(repr((counts, seed, code_digest())).encode()).hexdigest()[:12]
    arrays = {}
    for kind, classes in jobs.items():
        file = folder / f'{kind}-{name}.npy'
        shape = (len(classes), each[kind], side[kind], side[kind])
        if not _is_whole(file, shape):
            _write(file, shape, _drawn(classes, each[kind], seed), kind)
        arrays[kind] = np.load(file, mmap_mode='r')
    return Collection(**arrays)


def _is_whole(file: Path, shape: tuple[int, ...]) -> bool:
    try:
        return np.load(file, mmap_mode='r').shape == shape
    except (FileNotFoundError, EOFError, ValueError):  # truncated
        return False


def _write(
    file: Path, shape: tuple[int, ...], classes: Iterator[np.ndarray], description: str
) -> None:
    partial = file.with_suffix('.partial')
    array = np.lib.format.open_memmap(partial, 'w+', np.uint8, shape)
    with partial.open('r+b') as reserved:  # else a full disk kills the process
        try:
            os.posix_fallocate(reserved.fileno(), 0, partial.stat().st_size)
        except OSError as error:
            partial.unlink()
            raise OSError(error.errno, error.strerror, str(partial)) from error
    with console.bar(f'{description}, {shape[1]} each', shape[0]) as bar:
        for number, drawings in enumerate(classes):
            array[number] = drawings
            bar.advance()
    array.flush()
    partial.rename(file)


Draw = Callable[[int, int], Iterator[np.ndarray]]


def _drawn(classes: Sequence[tuple[Draw, int]], each: int, seed: int) -> Iterator[np.ndarray]:
    # Forked from a small server process: TensorFlow's threads would not survive a fork.
    context = multiprocessing.get_context('forkserver')
    jobs = [(draw, number, each, seed) for draw, number in classes]
    with ProcessPoolExecutor(os.cpu_count(), context, _end_with_parent) as processes:
        yield from processes.map(_draw_class, jobs, chunksize=4)


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed; it would otherwise wait forever."""
    parent = multiprocessing.parent_process()
    assert parent  # this runs in a worker

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _draw_class(job: tuple[Draw, int, int, int]) -> np.ndarray:
    draw, number, each, seed = job
    drawings = draw(number, seed)
    return np.stack([next(drawings) for _ in range(each)])


def _assembly(number: int, seed: int) -> Iterator[np.ndarray]:
    base = np.random.default_rng((seed, _BASE, 0, number // SIBLINGS))
    own = np.random.default_rng((seed, _CLASS, 0, number)) if number % SIBLINGS else None
    parts = sample_assembly(base, own)
    rng = np.random.default_rng((seed, _DRAWINGS, 0, number))
    while True:
        yield draw_assembly(parts, rng)


def _contour(number: int, seed: int) -> Iterator[np.ndarray]:
    contour = sample_contour(np.random.default_rng((seed, _CLASS, 1, number)))
    rng = np.random.default_rng((seed, _DRAWINGS, 1, number))
    while True:
        yield draw_contour(contour, rng)


def _fractal(number: int, seed: int) -> Iterator[np.ndarray]:
    fractal = sample_fractal(np.random.default_rng((seed, _CLASS, 2, number)))
    rng = np.random.default_rng((seed, _DRAWINGS, 2, number))
    while True:
        yield draw_fractal(fractal, rng)


def _texture(number: int, seed: int) -> Iterator[np.ndarray]:
    family = textures.FAMILIES[number % len(textures.FAMILIES)]
    rng = np.random.default_rng((seed, _CLASS, 3, number))
    texture = textures.sample_texture(family, rng)
    rng = np.random.default_rng((seed, _DRAWINGS, 3, number))
    while True:
        yield textures.draw_texture(texture, rng)

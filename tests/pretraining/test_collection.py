"""Generated figures and textures: shape, range of values, and determinism."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pretraining import collection as collection_module
from pretraining import textures, tones
from pretraining.assemblies import SIBLINGS, draw_assembly, sample_assembly
from pretraining.collection import make_collection
from pretraining.contours import draw_contour, sample_contour
from pretraining.fractals import draw_fractal, sample_fractal
from pretraining.settings import Counts
from pretraining.shapes import KINDS, outline, sample_form

FEW = Counts(assemblies=8, contours=2, fractals=2, textures=8, figures_each=3, textures_each=3)


def random(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)


@pytest.fixture(scope='module')
def collection(tmp_path_factory):
    return make_collection(FEW, 0, tmp_path_factory.mktemp('collection'))


@pytest.mark.parametrize('kind', KINDS)
def test_outlines_have_about_unit_size(kind):
    for seed in range(20):
        corners = outline(kind, sample_form(random(seed)))
        assert len(corners) >= 3
        assert 0.5 < np.abs(corners).max() < 3


@pytest.mark.parametrize('draw', ['assembly', 'contour', 'fractal'])
def test_figures_have_inside_and_outside(draw):
    for seed in range(10):
        figure = {
            'assembly': lambda rng: draw_assembly(sample_assembly(rng, None), rng),
            'contour': lambda rng: draw_contour(sample_contour(rng), rng),
            'fractal': lambda rng: draw_fractal(sample_fractal(rng), rng),
        }[draw](random(seed))
        assert figure.shape == (tones.SIDE, tones.SIDE)
        assert figure.dtype == np.uint8
        assert figure.max() < tones.TONES
        assert 0.03 < (figure != tones.OUTSIDE).mean() < 0.97


@pytest.mark.parametrize('family', textures.FAMILIES)
def test_textures_use_the_full_range_and_tile_seamlessly(family):
    steps, seams = [], []
    for seed in range(8):
        texture = textures.draw_texture(textures.sample_texture(family, random(seed)), random(seed))
        assert texture.shape == (textures.SIDE, textures.SIDE)
        assert (texture.min(), texture.max()) == (0, 255)
        values = texture.astype(float)
        steps.append(np.abs(np.diff(values, axis=1)).mean())
        seams.append(np.abs(values[:, 0] - values[:, -1]).mean())
    assert np.mean(seams) < 3 * np.mean(steps) + 5


def test_siblings_share_most_of_their_parts():
    first = sample_assembly(random(3), None)
    second = sample_assembly(random(3), random(4))
    assert len(first) == len(second)
    assert first[0].size == second[0].size
    alike = [one.at == other.at for one, other in zip(first, second, strict=True)]
    assert alike.count(False) == 2
    assert SIBLINGS > 1


def test_drawings_of_one_class_are_more_similar_than_of_two(collection):
    figures = (collection.figures != tones.OUTSIDE).astype(float)[::SIBLINGS]
    same = np.abs(figures[:, 0] - figures[:, 1]).mean()
    others = np.abs(figures[1:, 0] - figures[:-1, 0]).mean()
    assert 0 < same < others


def test_collection_depends_only_on_its_seed(collection, tmp_path):
    again = make_collection(FEW, 0, tmp_path)
    other = make_collection(FEW, 1, tmp_path)
    np.testing.assert_array_equal(collection.figures, again.figures)
    np.testing.assert_array_equal(collection.textures, again.textures)
    assert (collection.figures != other.figures).any(axis=(1, 2, 3)).all()


def test_existing_collection_is_reused(tmp_path):
    first = make_collection(FEW, 0, tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    second = make_collection(FEW, 0, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
    np.testing.assert_array_equal(first.figures, second.figures)


def test_partial_collection_is_drawn_again(tmp_path):
    make_collection(FEW, 0, tmp_path)
    (figures,) = tmp_path.glob('figures-*.npy')
    expected = np.load(figures)
    figures.rename(figures.with_suffix('.partial'))
    np.testing.assert_array_equal(make_collection(FEW, 0, tmp_path).figures, expected)
    assert not list(tmp_path.glob('*.partial'))


def test_truncated_collection_is_drawn_again(tmp_path):
    make_collection(FEW, 0, tmp_path)
    for file in tmp_path.glob('*.npy'):
        file.write_bytes(file.read_bytes()[: 1000 * file.name.startswith('figures')])
    again = make_collection(FEW, 0, tmp_path)
    assert again.figures.shape == (12, 3, tones.SIDE, tones.SIDE)
    assert again.figures.any(axis=(1, 2, 3)).all()
    assert again.textures.any(axis=(1, 2, 3)).all()


def test_workers_end_when_the_parent_is_killed(tmp_path):
    drawing = 'make_collection(Counts(0, 0, 8, 4, figures_each=400), 0, Path(sys.argv[1]))'
    script = tmp_path / 'draw.py'
    script.write_text(
        'import sys\nfrom pathlib import Path\n'
        'from pretraining.collection import Counts, make_collection\n'
        f"if __name__ == '__main__':\n    {drawing}\n"
    )
    environment = {**os.environ, 'PYTHONPATH': str(Path(collection_module.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, script, tmp_path], env=environment, start_new_session=True
    ) as parent:
        wait_until(lambda: len(members(parent.pid)) >= 4)  # parent, fork server, 2 or more workers
        parent.kill()
    wait_until(lambda: not members(parent.pid))


def members(session: int) -> list[Path]:
    """Running processes of a session."""
    found = []
    for status in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            state, _, _, its_session = status.read_text().rpartition(')')[2].split()[:4]
            if its_session == str(session) and state != 'Z':
                found.append(status)
    return found


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)

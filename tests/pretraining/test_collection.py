"""Generated figures and textures: shape, range of values, and determinism."""

import numpy as np
import pytest

from pretraining import textures, tones
from pretraining.assemblies import draw_assembly, sample_assembly
from pretraining.collection import make_collection
from pretraining.contours import draw_contour, sample_contour
from pretraining.fractals import draw_fractal, sample_fractal
from pretraining.settings import Counts

pytestmark = pytest.mark.slow

FEW = Counts(assemblies=8, contours=2, fractals=2, textures=8, figures_each=3, textures_each=3)


@pytest.fixture(scope='module')
def collection(tmp_path_factory):
    return make_collection(FEW, 0, tmp_path_factory.mktemp('collection'))


@pytest.mark.parametrize(
    'draw',
    [
        lambda rng: draw_assembly(sample_assembly(rng, None), rng),
        lambda rng: draw_contour(sample_contour(rng), rng),
        lambda rng: draw_fractal(sample_fractal(rng), rng),
    ],
    ids=['assembly', 'contour', 'fractal'],
)
def test_figures_have_inside_and_outside(draw):
    for seed in range(10):
        figure = draw(np.random.default_rng(seed))
        assert (figure.shape, figure.dtype) == ((tones.SIDE, tones.SIDE), np.uint8)
        assert figure.max() < tones.TONES
        assert 0.03 < (figure != tones.OUTSIDE).mean() < 0.97


@pytest.mark.parametrize('family', textures.FAMILIES)
def test_textures_use_the_full_range_and_tile_seamlessly(family):
    steps, seams = [], []
    for seed in range(8):
        rng, drawing = np.random.default_rng(seed), np.random.default_rng(seed)
        texture = textures.draw_texture(textures.sample_texture(family, rng), drawing)
        assert texture.shape == (textures.SIDE, textures.SIDE)
        assert (texture.min(), texture.max()) == (0, 255)
        values = texture.astype(float)
        steps.append(np.abs(np.diff(values, axis=1)).mean())
        seams.append(np.abs(values[:, 0] - values[:, -1]).mean())
    assert np.mean(seams) < 3 * np.mean(steps) + 5


def test_collection_depends_only_on_its_seed(collection, tmp_path):
    again, other = (make_collection(FEW, seed, tmp_path) for seed in (0, 1))
    np.testing.assert_array_equal(collection.figures, again.figures)
    np.testing.assert_array_equal(collection.textures, again.textures)
    assert (collection.figures != other.figures).any(axis=(1, 2, 3)).all()
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    make_collection(FEW, 0, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files


@pytest.mark.parametrize('kept', [0, 1000])
def test_truncated_collection_is_drawn_again(collection, tmp_path, kept):
    make_collection(FEW, 0, tmp_path)
    for file in tmp_path.glob('*.npy'):
        file.write_bytes(file.read_bytes()[:kept])
        file.with_suffix('.partial').touch()
    again = make_collection(FEW, 0, tmp_path)
    np.testing.assert_array_equal(again.figures, collection.figures)
    assert again.textures.any(axis=(1, 2, 3)).all()
    assert not list(tmp_path.glob('*.partial'))

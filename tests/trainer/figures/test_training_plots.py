"""Text of the training curves, and pixels of the image grids."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from trainer.figures.training_plots import write_curves, write_image_grid
from trainer.training.stage_history import StageHistory


def stage(name, epochs, best_epoch, val_loss=None):
    falling = tuple(1 / (epoch + 1) for epoch in range(epochs))
    metrics = {'loss': falling, 'accuracy': falling, 'val_accuracy': falling}
    return StageHistory(name, {**metrics, 'val_loss': val_loss or falling}, best_epoch, 0)


HEAD, TOP = 'stage 1, head', 'stage 2, fine-tuning'


def curves(tmp_path, *stages):
    """Draws curves; returns all texts of the SVG in drawing order."""
    write_curves(stages, tmp_path / 'curves.svg')
    tree = ElementTree.parse(tmp_path / 'curves.svg')
    return [text.text for text in tree.iter('{http://www.w3.org/2000/svg}text')]


def test_curves_label_stages_and_best_epoch(tmp_path):
    texts = curves(tmp_path, stage(HEAD, 10, 10), stage(TOP, 10, 5))
    assert texts.count(HEAD) == texts.count(TOP) == 2  # one for each panel
    assert {'loss', 'accuracy', 'training', 'validation'} <= set(texts)
    assert f'weights kept: {TOP}, epoch 5' in texts


def test_best_epoch_stays_in_stage_1_without_improvement(tmp_path):
    texts = curves(tmp_path, stage(HEAD, 3, 2), stage(TOP, 3, None))
    assert f'weights kept: {HEAD}, epoch 2' in texts


def test_epochs_are_numbered_per_stage(tmp_path):
    texts = curves(tmp_path, stage(HEAD, 3, 2), stage(TOP, 2, 1))
    assert [text for text in texts if text.isdigit()] == ['1', '2', '3', '1', '2'] * 2


def test_omits_stage_without_epochs(tmp_path):
    texts = curves(tmp_path, stage(HEAD, 0, None), stage(TOP, 7, 7))
    assert HEAD not in texts
    assert TOP in texts


def test_single_epoch_is_drawn_as_points(tmp_path):
    def count_marks(epochs):
        curves(tmp_path, stage(HEAD, epochs, None))
        drawn = (tmp_path / 'curves.svg').read_text()
        return len(re.findall(r'<use [^>]*stroke: #(?:0072b2|d55e00)', drawn))

    assert count_marks(2) - count_marks(1) == 4  # loss and accuracy, training and validation


def test_outlier_switches_to_logarithmic_axis(tmp_path):
    texts = curves(tmp_path, stage(HEAD, 4, 4, val_loss=(0.9, 400.0, 0.5, 0.2)))
    assert {'1', '10', '100'} <= set(texts)  # a logarithmic axis


def test_draws_curves_with_nan_and_infinity(tmp_path):
    bad = (0.5, float('nan'), float('inf'))
    assert f'weights kept: {HEAD}, epoch 1' in curves(tmp_path, stage(HEAD, 3, 1, val_loss=bad))
    nothing = (float('nan'),) * 3
    assert not any('kept' in text for text in curves(tmp_path, stage(HEAD, 3, None, nothing)))


@pytest.mark.parametrize('name', ['curves.svg', 'curves.png'])
def test_output_is_reproducible(tmp_path, name):
    stages = [stage(HEAD, 3, 2)]
    write_curves(stages, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    write_curves(stages, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def grid(tmp_path, images, captions, title='images'):
    write_image_grid(images, captions, tmp_path / 'grid.png', title)
    with Image.open(tmp_path / 'grid.png') as picture:
        assert picture.format == 'PNG'
        return np.asarray(picture.convert('RGB'))


def coloured(count, height=32, width=32):
    """Makes images of one shade of red each."""
    images = np.zeros((count, height, width, 3), 'uint8')
    images[..., 0] = 100 + 5 * np.arange(count)[:, None, None]
    return images


def sides(picture, red):
    """Returns height and width of the area of one shade of red, in pixels."""
    rows, columns = np.nonzero((picture == (red, 0, 0)).all(axis=-1))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize('count', [1, 5, 24])
def test_grid_shows_each_image_once(tmp_path, count):
    picture = grid(tmp_path, coloured(count), ['cat'] * count)
    for number in range(count):
        assert sides(picture, 100 + 5 * number) == pytest.approx((225, 225), abs=2)


def test_grid_preserves_aspect_ratio(tmp_path):
    picture = grid(tmp_path, coloured(2, height=50, width=100), ['cat', 'dog'])
    assert sides(picture, 105) == pytest.approx((112, 225), abs=2)


def test_grid_is_limited_to_24_images(tmp_path):
    picture = grid(tmp_path, coloured(30), ['cat'] * 30)
    assert (picture == (100 + 5 * 23, 0, 0)).all(axis=-1).any()
    assert not (picture == (100 + 5 * 24, 0, 0)).all(axis=-1).any()


def test_captions_are_below_their_images(tmp_path):
    picture = grid(tmp_path, coloured(2), ['cat', ' '])
    below, third = picture[-30:], picture.shape[1] // 3
    assert (below[:, :third] < 128).any()
    assert (below[:, third:] == 255).all()


def test_draws_unusual_captions_without_warnings(tmp_path):
    odd = ['$x_1$', '猫', 'a_long_name_without_any_space_that_goes_on_and_on', '']
    assert sides(grid(tmp_path, coloured(4), odd), 100) == pytest.approx((225, 225), abs=2)

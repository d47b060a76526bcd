"""What stands in the pictures: words of SVGs, sizes and pixels of PNGs."""

import re
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from PIL import Image

from trainer.figures.network_diagram import write_architecture
from trainer.figures.training_plots import write_curves, write_image_grid
from trainer.training.stage_history import StageHistory


def stage(name, epochs, best_epoch, val_loss=None):
    falling = tuple(1 / (epoch + 1) for epoch in range(epochs))
    metrics = {'loss': falling, 'accuracy': falling, 'val_accuracy': falling}
    return StageHistory(name, {**metrics, 'val_loss': val_loss or falling}, best_epoch, 0)


HEAD, TOP = 'stage 1, head', 'stage 2, fine-tuning'


def words(path):
    """Every text of an SVG, in the order in which it was drawn."""
    return [text.text for text in ElementTree.parse(path).iter('{http://www.w3.org/2000/svg}text')]


def curves(tmp_path, *stages):
    write_curves(stages, tmp_path / 'curves.svg')
    return words(tmp_path / 'curves.svg')


def test_curves_name_both_stages_and_the_epoch_that_is_kept(tmp_path):
    said = curves(tmp_path, stage(HEAD, 10, 10), stage(TOP, 10, 5))
    assert said.count(HEAD) == said.count(TOP) == 2  # one for each panel
    assert {'loss', 'accuracy', 'training', 'validation'} <= set(said)
    assert f'weights kept: {TOP}, epoch 5' in said


def test_a_second_stage_that_was_never_better_leaves_the_mark_in_the_first(tmp_path):
    said = curves(tmp_path, stage(HEAD, 3, 2), stage(TOP, 3, None))
    assert f'weights kept: {HEAD}, epoch 2' in said


def test_epochs_are_counted_within_each_stage(tmp_path):
    said = curves(tmp_path, stage(HEAD, 3, 2), stage(TOP, 2, 1))
    assert [text for text in said if text.isdigit()] == ['1', '2', '3', '1', '2'] * 2


def test_a_stage_without_epochs_is_left_out(tmp_path):
    said = curves(tmp_path, stage(HEAD, 0, None), stage(TOP, 7, 7))
    assert HEAD not in said
    assert TOP in said


def test_one_epoch_is_drawn_as_points(tmp_path):
    def marks(epochs):
        curves(tmp_path, stage(HEAD, epochs, None))
        drawn = (tmp_path / 'curves.svg').read_text()
        return len(re.findall(r'<use [^>]*stroke: #(?:0072b2|d55e00)', drawn))

    assert marks(2) - marks(1) == 4  # loss and accuracy, training and validation


def test_one_bad_epoch_does_not_press_the_others_flat(tmp_path):
    said = curves(tmp_path, stage(HEAD, 4, 4, val_loss=(0.9, 400.0, 0.5, 0.2)))
    assert {'1', '10', '100'} <= set(said)  # a logarithmic axis


def test_losses_that_are_no_numbers_are_no_obstacle(tmp_path):
    bad = (0.5, float('nan'), float('inf'))
    assert f'weights kept: {HEAD}, epoch 1' in curves(tmp_path, stage(HEAD, 3, 1, val_loss=bad))
    nothing = (float('nan'),) * 3
    assert not any('kept' in text for text in curves(tmp_path, stage(HEAD, 3, None, nothing)))


@pytest.mark.parametrize('name', ['curves.svg', 'curves.png'])
def test_the_same_curves_are_the_same_bytes(tmp_path, name):
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
    """Images of one colour each, none of them grey."""
    images = np.zeros((count, height, width, 3), 'uint8')
    images[..., 0] = 100 + 5 * np.arange(count)[:, None, None]
    return images


def sides(picture, red):
    """Height and width of the area of one colour, in pixels."""
    rows, columns = np.nonzero((picture == (red, 0, 0)).all(axis=-1))
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize('count', [1, 5, 24])
def test_every_image_is_in_the_grid_once(tmp_path, count):
    picture = grid(tmp_path, coloured(count), ['cat'] * count)
    for number in range(count):
        assert sides(picture, 100 + 5 * number) == pytest.approx((225, 225), abs=2)


def test_images_are_not_stretched(tmp_path):
    picture = grid(tmp_path, coloured(2, height=50, width=100), ['cat', 'dog'])
    assert sides(picture, 105) == pytest.approx((112, 225), abs=2)


def test_a_grid_holds_24_images_at_most(tmp_path):
    picture = grid(tmp_path, coloured(30), ['cat'] * 30)
    assert (picture == (100 + 5 * 23, 0, 0)).all(axis=-1).any()
    assert not (picture == (100 + 5 * 24, 0, 0)).all(axis=-1).any()


def test_captions_stand_below_their_images(tmp_path):
    with_text = grid(tmp_path, coloured(2), ['cat', ' '])
    below = with_text[-30:]
    half = with_text.shape[1] // 3
    assert (below[:, :half] < 128).any()
    assert (below[:, half:] == 255).all()


def test_odd_captions_are_drawn_without_a_word(tmp_path):
    odd = ['$x_1$', '猫', 'a_long_name_without_any_space_that_goes_on_and_on', '']
    assert sides(grid(tmp_path, coloured(4), odd), 100) == pytest.approx((225, 225), abs=2)


def head(channels, units=1, activation='linear'):
    pooled = keras.Input((channels,), name='pooled')
    dropped = keras.layers.Dropout(0.2, name='dropout')(pooled)
    out = keras.layers.Dense(units, activation=activation, name='dense')(dropped)
    return keras.Model(pooled, out, name='head')


@pytest.fixture(scope='module')
def mobilenet():
    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)


def architecture(tmp_path, base, boundary, of_head=None):
    of_head = of_head or head(base.output_shape[-1])
    write_architecture(base, of_head, boundary, tmp_path / 'network.svg')
    return words(tmp_path / 'network.svg')


def test_the_diagram_names_every_block_with_its_shape(tmp_path, mobilenet):
    said = architecture(tmp_path, mobilenet, None)
    blocks = ['Conv1', 'expanded_conv', *(f'block_{number}' for number in range(1, 17)), 'Conv_1']
    assert [text for text in said if text in blocks] == blocks
    assert said[said.index('input') + 1] == '96 x 96 x 3'
    assert said[said.index('block_2') + 1 :][:2] == ['24 x 24 x 8', '1,616 parameters']
    assert 'base: mobilenetv2_0.35_96, 410,208 parameters' in said


def test_the_diagram_tells_frozen_from_fine_tuned(tmp_path, mobilenet):
    said = architecture(tmp_path, mobilenet, 'block_11_expand')
    frozen, tuned = (
        int(next(text for text in said if text.startswith(kind)).split()[1].replace(',', ''))
        for kind in ('frozen:', 'fine-tuned:')
    )
    names = [layer.name for layer in mobilenet.layers]
    below = mobilenet.layers[: names.index('block_11_expand')]
    assert frozen == sum(layer.count_params() for layer in below)
    assert frozen + tuned == mobilenet.count_params()
    assert 'fine-tuning begins at block_11_expand' in said


def test_where_all_is_frozen_there_is_no_boundary(tmp_path, mobilenet):
    said = architecture(tmp_path, mobilenet, None)
    assert 'frozen: 410,208 parameters' in said
    assert not any(text.startswith('fine-tun') for text in said)


def test_where_all_is_trained_nothing_is_frozen(tmp_path, mobilenet):
    said = architecture(tmp_path, mobilenet, mobilenet.layers[0].name)
    assert 'fine-tuned: 410,208 parameters' in said
    assert 'fine-tuning begins at Conv1' in said
    assert not any(text.startswith('frozen') for text in said)


def test_a_block_that_is_cut_has_both_colours(tmp_path, mobilenet):
    def areas(boundary):
        architecture(tmp_path, mobilenet, boundary)
        drawn = (tmp_path / 'network.svg').read_text()
        return drawn.count('fill: #dcdfe3'), drawn.count('fill: #f5b94a')

    frozen, tuned = areas('block_11_expand')
    assert areas('block_11_expand_relu') == (frozen + 1, tuned)


def test_the_head_says_pooling_rate_units_and_activation(tmp_path, mobilenet):
    said = architecture(tmp_path, mobilenet, None)
    assert said[said.index('pooling') + 1 :][:2] == ['global average', '1280']
    assert said[said.index('dropout') + 1] == 'rate 0.2'
    assert said[said.index('dense') + 1 :][:2] == ['1 unit, linear', '1,281 parameters']
    assert said[said.index('output') + 1] == '1 logit'
    of_head = head(1280, units=3, activation='softmax')
    assert '3 units, softmax' in architecture(tmp_path, mobilenet, None, of_head)
    assert '3 logits' in architecture(tmp_path, mobilenet, None, head(1280, units=3))


def plain_base(*names):
    """Convolutions with given names, one after the other."""
    images = maps = keras.Input((32, 32, 3))
    for name in names:
        maps = keras.layers.Conv2D(4, 3, strides=2, padding='same', name=name)(maps)
    return keras.Model(images, maps)


def test_layers_of_other_networks_are_grouped_by_how_their_names_begin(tmp_path):
    said = architecture(tmp_path, plain_base('stem_a', 'stem_b', 'part1_a', 'top_a'), 'part1_a')
    assert [text for text in said if text in ('stem', 'part1', 'top')] == ['stem', 'part1', 'top']
    assert said[said.index('stem') + 1 :][:2] == ['8 x 8 x 4', '260 parameters']


def test_layers_whose_names_say_nothing_are_grouped_by_size(tmp_path):
    said = architecture(tmp_path, plain_base('net_a', 'net_b', 'net_c'), None)
    assert {'16 x 16', '8 x 8', '4 x 4'} <= set(said)


def test_the_diagram_can_be_a_png(tmp_path, mobilenet):
    write_architecture(mobilenet, head(1280), 'block_6_expand', tmp_path / 'network.png')
    with Image.open(tmp_path / 'network.png') as picture:
        assert picture.format == 'PNG'
        assert 1200 < picture.width < 1800

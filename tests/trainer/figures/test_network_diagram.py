"""Text and colours of the network diagram."""

from xml.etree import ElementTree

import keras
import pytest

from trainer.config.train import TrainConfig
from trainer.figures.network_diagram import write_architecture
from trainer.model.head import build_head


@pytest.fixture(scope='module')
def mobilenet():
    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)


def index_of(model, layer):
    return [each.name for each in model.layers].index(layer)


@pytest.fixture
def draw(tmp_path, mobilenet):
    """`draw(first_trained, **head)`: the file of a diagram; layers by name, None for all frozen."""

    def draw_diagram(first_trained=None, **head):
        layers = len(mobilenet.layers)
        boundary = index_of(mobilenet, first_trained) if first_trained else layers
        write_architecture(mobilenet, build_head(TrainConfig(), 1280, **head), boundary, path)
        return path

    path = tmp_path / 'network.svg'
    return draw_diagram


def texts(path):
    """Returns all texts of an SVG in drawing order."""
    return [text.text for text in ElementTree.parse(path).iter('{http://www.w3.org/2000/svg}text')]


def test_shows_blocks_with_shape_and_parameters(draw):
    drawn = texts(draw())
    blocks = ['Conv1', 'expanded_conv', *(f'block_{number}' for number in range(1, 17)), 'Conv_1']
    assert [text for text in drawn if text in blocks] == blocks
    assert drawn[drawn.index('input') + 1] == '96 x 96 x 3'
    assert drawn[drawn.index('block_2') + 1 :][:2] == ['24 x 24 x 8', '1,616 parameters']
    assert 'base: mobilenetv2_0.35_96, 410,208 parameters' in drawn


def test_legend_counts_frozen_and_fine_tuned_parameters(draw, mobilenet):
    drawn = texts(draw('block_11_expand'))
    frozen, tuned = (
        int(next(text for text in drawn if text.startswith(kind)).split()[1].replace(',', ''))
        for kind in ('frozen:', 'fine-tuned:')
    )
    below = mobilenet.layers[: index_of(mobilenet, 'block_11_expand')]
    assert frozen == sum(layer.count_params() for layer in below)
    assert frozen + tuned == mobilenet.count_params()
    assert 'fine-tuning begins at block_11_expand' in drawn


def test_legend_of_frozen_backbone_omits_fine_tuning(draw):
    drawn = texts(draw())
    assert 'frozen: 410,208 parameters' in drawn
    assert not any(text.startswith('fine-tun') for text in drawn)


def test_legend_of_fully_trained_backbone_omits_frozen(draw, mobilenet):
    drawn = texts(draw(mobilenet.layers[0].name))
    assert 'fine-tuned: 410,208 parameters' in drawn
    assert 'fine-tuning begins at Conv1' in drawn
    assert not any(text.startswith('frozen') for text in drawn)


def test_partly_frozen_block_has_both_colours(draw):
    def areas(first_trained):
        svg = draw(first_trained).read_text()
        return svg.count('fill: #dcdfe3'), svg.count('fill: #f5b94a')

    frozen, tuned = areas('block_11_expand')
    assert areas('block_11_expand_relu') == (frozen + 1, tuned)


def test_shows_layers_of_the_head(draw):
    drawn = texts(draw())
    assert drawn[drawn.index('pooling') + 1 :][:2] == ['global average', '1280']
    assert drawn[drawn.index('logit') - 1] == 'rate 0.2'
    assert drawn[drawn.index('logit') + 1 :][:2] == ['1 unit, linear', '1,281 parameters']
    assert drawn[drawn.index('output') + 1] == '1 logit'
    assert '3 logits' in texts(draw(classes=3))

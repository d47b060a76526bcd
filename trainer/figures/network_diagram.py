"""Draws the network as a diagram of backbone and head."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from trainer.figures.style import BLUE, GREY, STYLE, VERMILION, canvas, save

_FROZEN, _FINE_TUNED, _HEAD, _PLAIN = '#DCDFE3', '#F5B94A', '#9CCDEE', '#FFFFFF'
_WIDTH, _HEIGHT, _GAP, _MARGIN, _ROW = 1.12, 0.56, 0.24, 0.46, 0.9  # inches
_BLOCK = re.compile(r'expanded_conv|block_\d+|Conv_?1')  # in the layer names of MobileNetV2


@dataclasses.dataclass(frozen=True)
class _Box:
    """A box of the diagram: a group of layers, the input, or the output."""

    lines: tuple[str, str, str]
    colour: str
    frozen: float = 0.0  # fraction of its layers that are frozen, drawn from the left
    residual: bool = False
    boundary: bool = False  # whether fine-tuning starts here


@matplotlib.rc_context(STYLE)
def write_architecture(
    backbone: keras.Model, head: keras.Model, first_trained: int, path: Path
) -> None:
    """Draws the backbone, with a row for each size of its feature maps, and the head.

    Args:
        backbone: MobileNetV2 without its top.
        head: maps pooled features to logits.
        first_trained: index of the first trained layer of the backbone; the number of layers if
            all are frozen.
        path: output file, .svg or .png.
    """
    rows, head_row = _backbone_rows(backbone, first_trained), _head_row(head)
    head_top = _MARGIN + _ROW * len(rows) + 0.1
    width = 2 * _MARGIN + (_WIDTH + _GAP) * max(map(len, [*rows, head_row])) - _GAP
    figure, axes = canvas(width, head_top + _ROW + 1)
    parts = (f'base: {backbone.name}', backbone, 0.0, rows), ('head', head, head_top, [head_row])
    for title, model, top, part in parts:
        size = (width - 0.2, _MARGIN + _ROW * len(part) - 0.08)
        axes.add_patch(Rectangle((0.1, top + 0.1), *size, fill=False, edgecolor=GREY))
        text = f'{title}, {model.count_params():,} parameters'
        axes.text(0.2, top + 0.27, text, fontsize=10, weight='bold', va='center')
        for number, row in enumerate(part):
            previous = len(part[number - 1]) if number else 0
            _draw_row(axes, row, top + _MARGIN + 0.2 + number * _ROW, previous)
    handles = _legend(backbone, first_trained)
    figure.legend(handles=handles, loc='lower center', ncols=2, frameon=False, fontsize=8)
    save(figure, path)


def _blocks(backbone: keras.Model) -> dict[str, list[keras.Layer]]:
    """Groups the layers by block; a layer outside any block belongs to the one before it."""
    blocks: dict[str, list[keras.Layer]] = {}
    name = ''
    for layer in backbone.layers[1:]:
        match = _BLOCK.search(layer.name)
        name = match[0] if match else name
        blocks.setdefault(name, []).append(layer)
    return blocks


def _parameters(layers: Sequence[keras.Layer]) -> str:
    """Formats the number of parameters; empty if there are none."""
    count = sum(layer.count_params() for layer in layers)
    return f'{count:,} parameters' if count else ''


def _shape(layer: keras.Layer) -> str:
    return ' x '.join(map(str, layer.output.shape[1:]))


def _backbone_rows(backbone: keras.Model, first_trained: int) -> list[list[_Box]]:
    """Returns one row of boxes per height and width; the input belongs to the first row."""
    frozen_names = {layer.name for layer in backbone.layers[:first_trained]}
    rows = [[_Box(('input', _shape(backbone.layers[0]), ''), _PLAIN)]]
    previous_frozen, previous_size = 1.0, None
    for name, layers in _blocks(backbone).items():
        frozen = sum(layer.name in frozen_names for layer in layers) / len(layers)
        residual = any(isinstance(layer, keras.layers.Add) for layer in layers)
        size = layers[-1].output.shape[1:3]
        if previous_size not in (None, size):
            rows.append([])
        lines = (name, _shape(layers[-1]), _parameters(layers))
        rows[-1].append(_Box(lines, _FINE_TUNED, frozen, residual, frozen < 1 == previous_frozen))
        previous_frozen, previous_size = frozen, size
    return rows


def _head_row(head: keras.Model) -> list[_Box]:
    row = [_Box(('pooling', 'global average', _shape(head.layers[0])), _PLAIN)]
    for layer in head.layers[1:]:
        text = type(layer).__name__
        if isinstance(layer, keras.layers.Dropout):
            text = f'rate {layer.rate:g}'
        elif isinstance(layer, keras.layers.Dense):
            text = f'{layer.units} unit{"s" * (layer.units > 1)}, {layer.activation.__name__}'
        row.append(_Box((layer.name, text, _parameters([layer])), _HEAD))
    count = head.output_shape[-1]
    return [*row, _Box(('output', f'{count} logit{"s" * (count > 1)}', ''), _PLAIN)]


def _draw_row(axes: Axes, row: list[_Box], top: float, previous: int) -> None:
    """Draws boxes with arrows; `previous` is the number of boxes in the row above, or 0."""
    middle, pitch, lane = top + _HEIGHT / 2, _WIDTH + _GAP, _MARGIN - 0.29
    if previous:
        out, over = _MARGIN + (previous - 1) * pitch + _WIDTH / 2, top - 0.24
        ys = (top - _ROW + _HEIGHT, over, over, middle, middle)
        axes.plot((out, out, lane, lane, _MARGIN), ys, color='black', linewidth=0.8)
    for number, box in enumerate(row):
        left = _MARGIN + number * pitch
        if number:
            axes.plot((left - _GAP, left), (middle, middle), color='black', linewidth=0.8)
        if number or previous:
            axes.plot(left - 0.04, middle, marker='>', markersize=5, color='black')
        _draw_box(axes, box, left, top)


def _draw_box(axes: Axes, box: _Box, left: float, top: float) -> None:
    right, middle = left + _WIDTH, top + _HEIGHT / 2
    edge = left + box.frozen * _WIDTH
    if box.residual:
        xs, over = (left - 0.11, left - 0.11, right - 0.1, right - 0.1), top - 0.12
        axes.plot(xs, (middle, over, over, top), color=BLUE, linewidth=1.3)
        axes.plot(right - 0.1, top - 0.04, marker='v', markersize=4, color=BLUE)
    if box.boundary:
        x = edge if box.frozen else left - 0.19
        ys = (top - 0.18, top + _HEIGHT + 0.08)
        axes.plot((x, x), ys, color=VERMILION, linewidth=2.5, zorder=0.5)
    for start, end, colour in (left, edge, _FROZEN), (edge, right, box.colour):
        if start < end:
            fill = Rectangle((start, top), end - start, _HEIGHT, color=colour, linewidth=0)
            axes.add_patch(fill)
    axes.add_patch(Rectangle((left, top), _WIDTH, _HEIGHT, fill=False))
    lines = [line for line in box.lines if line]
    for number, line in enumerate(lines):
        y = middle + 0.16 * (number - (len(lines) - 1) / 2)
        text = axes.text((left + right) / 2, y, line, ha='center', va='center')
        size = min(7, (125 if number else 105) / len(line))  # points; smaller for long lines
        text.set(weight='normal' if number else 'bold', fontsize=size)


def _legend(backbone: keras.Model, first_trained: int) -> list[Patch | Line2D]:
    layers = backbone.layers
    handles: list[Patch | Line2D] = []
    frozen, trained = layers[:first_trained], layers[first_trained:]
    for name, colour, part in ('frozen', _FROZEN, frozen), ('fine-tuned', _FINE_TUNED, trained):
        if count := _parameters(part):
            label = f'{name}: {count}'
            handles.append(Patch(facecolor=colour, edgecolor='black', label=label))
    handles.append(Line2D([], [], color=BLUE, label='residual: the input is added'))
    if trained:
        label = f'fine-tuning begins at {layers[max(first_trained, 1)].name}'
        handles.append(Line2D([], [], color=VERMILION, linewidth=2.5, label=label))
    return handles

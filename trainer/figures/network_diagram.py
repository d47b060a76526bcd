"""The network as a diagram, base and head apart."""

import dataclasses
import itertools
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


@dataclasses.dataclass(frozen=True)
class _Box:
    """A box of the diagram: a group of layers, or something said about them."""

    lines: tuple[str, str, str]
    colour: str
    frozen: float = 0.0  # share of its layers, from the left, that stay as they are
    residual: bool = False
    boundary: bool = False  # fine-tuning begins here


_WIDTH, _HEIGHT, _GAP, _MARGIN, _ROW = 1.12, 0.56, 0.24, 0.46, 0.9  # inches
_MOST_IN_A_ROW = 8


@matplotlib.rc_context(STYLE)
def write_architecture(
    base: keras.Model, head: keras.Model, boundary_layer: str | None, path: Path
) -> None:
    """Draws the network: the base, a row for each size of its feature maps, and the head.

    Args:
        base: images to feature map, of any architecture; its layers are grouped by their names.
        head: pooled features to the output.
        boundary_layer: the first layer of the base that is trained; None if all stay frozen.
        path: where to write, .svg or .png.
    """
    names = [layer.name for layer in base.layers]
    boundary = len(names) if boundary_layer is None else names.index(boundary_layer)
    rows, head_row = _base_rows(base, boundary), _head_row(base, head)
    head_top = _MARGIN + _ROW * len(rows) + 0.1
    width = 2 * _MARGIN + (_WIDTH + _GAP) * max(map(len, [*rows, head_row])) - _GAP
    figure, axes = canvas(width, head_top + _ROW + 1)
    parts = (f'base: {base.name}', base, 0.0, rows), ('head', head, head_top, [head_row])
    for title, model, top, part in parts:
        size = (width - 0.2, _MARGIN + _ROW * len(part) - 0.08)
        axes.add_patch(Rectangle((0.1, top + 0.1), *size, fill=False, edgecolor=GREY))
        text = f'{title}, {model.count_params():,} parameters'
        axes.text(0.2, top + 0.27, text, fontsize=10, weight='bold', va='center')
        for number, row in enumerate(part):
            above = len(part[number - 1]) if number else 0
            _draw_row(axes, row, top + _MARGIN + 0.2 + number * _ROW, above)
    handles = _legend(base, boundary, any(box.residual for row in rows for box in row))
    figure.legend(handles=handles, loc='lower center', ncols=2, frameon=False, fontsize=8)
    save(figure, path)


def _groups(base: keras.Model) -> list[tuple[str, list[keras.Layer]]]:
    """Layers in their order, grouped by how their names begin, such as block_7, or else by size.

    Layers without weights whose names say nothing, such as activation_3, belong to those before.
    """
    beginning = re.compile(r'(?:bn_)?((?:expanded_conv|[^_]+)(?:_\d+(?=_|$))?)')
    layers = [layer for layer in base.layers if not isinstance(layer, keras.layers.InputLayer)]
    groups: list[tuple[str, list[keras.Layer]]] = []
    for name, run in itertools.groupby(layers, lambda layer: beginning.findall(layer.name)[0]):
        members = list(run)
        if groups and (groups[-1][0] == name or not _count(members)):
            groups[-1][1].extend(members)
        else:
            groups.append((name, members))
    if 3 <= len(groups) <= 50:
        return groups
    return [(size, list(run)) for size, run in itertools.groupby(layers, lambda x: _shape(x, -1))]


def _count(layers: Sequence[keras.Layer]) -> str:
    """How many parameters, as words; nothing if none."""
    count = sum(layer.count_params() for layer in layers)
    return f'{count:,} parameters' if count else ''


def _shape(layer: keras.Layer, end: int | None = None) -> str:
    return ' x '.join('any' if axis is None else str(axis) for axis in layer.output.shape[1:end])


def _base_rows(base: keras.Model, boundary: int) -> list[list[_Box]]:
    """Boxes with the same height and width stand in one row; the input stands in the first."""
    fixed = {layer.name for layer in base.layers[:boundary]}
    rows = [[_Box(('input', _shape(base.layers[0]), ''), _PLAIN)]]
    frozen_before, size_before = 1.0, ''
    for name, layers in _groups(base):
        frozen = sum(layer.name in fixed for layer in layers) / len(layers)
        residual = any(isinstance(layer, keras.layers.Add) for layer in layers)
        size = _shape(layers[-1], -1)
        if size_before not in ('', size) or len(rows[-1]) == _MOST_IN_A_ROW:
            rows.append([])
        lines = (name, _shape(layers[-1]), _count(layers))
        rows[-1].append(_Box(lines, _FINE_TUNED, frozen, residual, frozen < 1 == frozen_before))
        frozen_before, size_before = frozen, size
    return rows


def _head_row(base: keras.Model, head: keras.Model) -> list[_Box]:
    row, says = [], ''
    if len(head.input_shape) < len(base.output_shape):
        row.append(_Box(('pooling', 'global average', _shape(head.layers[0])), _PLAIN))
    for layer in head.layers[1:]:
        says = type(layer).__name__
        if isinstance(layer, keras.layers.Dropout):
            says = f'rate {layer.rate:g}'
        elif isinstance(layer, keras.layers.Dense):
            says = f'{layer.units} unit{"s" * (layer.units > 1)}, {layer.activation.__name__}'
        row.append(_Box((layer.name, says, _count([layer])), _HEAD))
    kind = 'logit' if says.endswith(', linear') else 'number'
    kind += 's' * (head.output_shape[-1] > 1)
    return [*row, _Box(('output', f'{_shape(head.layers[-1])} {kind}', ''), _PLAIN)]


def _draw_row(axes: Axes, row: list[_Box], top: float, above: int) -> None:
    """Draws boxes with arrows between; `above` is how many boxes the row before has."""
    middle, pitch, lane = top + _HEIGHT / 2, _WIDTH + _GAP, _MARGIN - 0.29
    if above:
        out, over = _MARGIN + (above - 1) * pitch + _WIDTH / 2, top - 0.24
        ys = (top - _ROW + _HEIGHT, over, over, middle, middle)
        axes.plot((out, out, lane, lane, _MARGIN), ys, color='black', linewidth=0.8)
    for number, box in enumerate(row):
        left = _MARGIN + number * pitch
        if number:
            axes.plot((left - _GAP, left), (middle, middle), color='black', linewidth=0.8)
        if number or above:
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
        size = min(7, (125 if number else 105) / len(line))  # points; a long line is smaller
        text.set(weight='normal' if number else 'bold', fontsize=size)


def _legend(base: keras.Model, boundary: int, residual: bool) -> list[Patch | Line2D]:
    split = ('frozen', _FROZEN, slice(boundary)), ('fine-tuned', _FINE_TUNED, slice(boundary, None))
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, edgecolor='black', label=f'{name}: {_count(base.layers[part])}')
        for name, colour, part in split
        if _count(base.layers[part])
    ]
    if residual:
        handles.append(Line2D([], [], color=BLUE, label='residual: the input is added'))
    if boundary < len(base.layers):
        label = f'fine-tuning begins at {base.layers[max(boundary, 1)].name}'
        handles.append(Line2D([], [], color=VERMILION, linewidth=2.5, label=label))
    return handles

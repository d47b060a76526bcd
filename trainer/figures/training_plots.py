"""Training curves, and grids of images with captions."""

import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.figures.style import BLUE, GREY, STYLE, VERMILION, YELLOW, canvas, save
from trainer.training.stage_history import StageHistory

MAX_IMAGES = 24


@matplotlib.rc_context(STYLE)
def write_curves(histories: Sequence[StageHistory], path: Path) -> None:
    """Draws loss and accuracy of all stages in sequence, with the best epoch marked."""
    stages = [history for history in histories if history.metrics['loss']]
    starts = [0, *itertools.accumulate(len(stage.metrics['loss']) for stage in stages)]
    figure = Figure(figsize=(10, 3.8), layout='constrained')
    for axes, name in zip(figure.subplots(1, 2), ('loss', 'accuracy'), strict=True):
        _draw_stages(axes, stages, starts, name)
        _name_stages(axes, stages, starts)
        axes.set(xlabel='epoch of the stage', ylabel=name, xlim=(0.5, starts[-1] + 0.5))
        values = np.concatenate([stage.metrics[f'val_{name}'] for stage in stages])
        finite = values[np.isfinite(values)]
        if finite.size and np.max(finite) > 10 * np.median(finite) > 0:
            axes.set_yscale('log')  # an outlier would flatten a linear plot
            axes.yaxis.set_major_formatter('{x:g}')
            axes.yaxis.set_minor_formatter('')
        axes.grid(axis='y', alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(named.values(), named.keys(), loc='outside lower center', ncols=3, frameon=False)
    save(figure, path)


def _draw_stages(axes: Axes, stages: list[StageHistory], starts: list[int], name: str) -> None:
    kept = None
    for stage, start in zip(stages, starts, strict=False):
        lines = (name, 'training', BLUE, 'o'), (f'val_{name}', 'validation', VERMILION, 's')
        for key, label, colour, marker in lines:
            values = stage.metrics[key]
            epochs = range(start + 1, start + len(values) + 1)
            shape = marker if len(values) <= 30 else ''
            axes.plot(epochs, values, color=colour, marker=shape, markersize=3.5, label=label)
        if stage.best_epoch:
            text = f'weights kept: {stage.name}, epoch {stage.best_epoch}'
            kept = start + stage.best_epoch, values[stage.best_epoch - 1], text
    if kept:
        x, y, text = kept
        (star,) = axes.plot(x, y, '*', markersize=14, color=YELLOW, zorder=3, label=text)
        star.set_markeredgecolor('black')


def _name_stages(axes: Axes, stages: list[StageHistory], starts: list[int]) -> None:
    """Labels the stages, draws lines between them, and numbers the epochs of each stage."""
    total = starts[-1]
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, total) if total <= 12 * step)
    ticks: dict[int, str] = {}
    for stage, (start, end) in zip(stages, itertools.pairwise(starts), strict=True):
        epochs = range(min(step, end - start), end - start + 1, step)
        ticks.update({start + epoch: str(epoch) for epoch in epochs})
        if start:
            axes.axvline(start + 0.5, color=GREY, linewidth=1, linestyle='--')
        middle = (start + end) / 2 / total
        side = 'center' if end - start > 0.35 * total else 'left' if middle < 0.5 else 'right'
        x = {'left': start / total, 'center': middle, 'right': end / total}[side]
        axes.text(x, 1.03, stage.name, ha=side, transform=axes.transAxes)
    axes.set_xticks([*ticks], [*ticks.values()])


@matplotlib.rc_context(STYLE)
def write_image_grid(images: np.ndarray, captions: Sequence[str], path: Path, title: str) -> None:
    """Draws up to 24 images, uint8 [n, height, width, 3], with captions below, as PNG."""
    columns = min(len(images), 6)
    texts = [_two_lines(caption) for caption in captions[:MAX_IMAGES]]
    heading = textwrap.fill(title, 15 * max(columns, 3))
    width, gap, top = 1.5, 0.1, 0.4 + 0.2 * heading.count('\n')  # inches
    height = width * images.shape[1] / images.shape[2]
    pitch = height + 0.25 + 0.15 * max(text.count('\n') for text in texts)
    rows = math.ceil(len(texts) / columns)
    figure, axes = canvas(gap + max(columns, 3) * (width + gap), top + rows * pitch)
    axes.text(gap, top / 2, heading, fontsize=11, va='center')
    for number, (image, text) in enumerate(zip(images[:MAX_IMAGES], texts, strict=True)):
        x, y = gap + number % columns * (width + gap), top + number // columns * pitch
        axes.imshow(image, extent=(x, x + width, y + height, y), aspect='auto')
        axes.text(x + width / 2, y + height + 0.04, text, ha='center', va='top', fontsize=8)
    save(figure, path)


def _two_lines(caption: str) -> str:
    lines = textwrap.wrap(caption, 20)
    return '\n'.join(lines if len(lines) <= 2 else [lines[0], lines[1][:19] + '…'])

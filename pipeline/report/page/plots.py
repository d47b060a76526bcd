"""Plots in data coordinates with their scales; the template `plot.svg.j2` draws them as SVG."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from components.evaluation.results import Evaluation, ModelResult
from pipeline.report.page_data import Stage

LEFT, RIGHT, TOP, BOTTOM = 48, 350, 10, 210  # the axes, in SVG units; the page scales them
_HISTOGRAM = 46  # height of the histogram under the reliability diagram, with padding
_DIAGONAL = ((0.0, 0.0), (1.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` linearly to coordinates from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    integers: bool = False  # of the ticks

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Coordinate and label of round numbers, about five."""
        least = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(least))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= least * (1 - 1e-9))
        step = max(step, 1.0) if self.integers else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = [number * step for number in range(first, last + 1)]
        return [(self(value), f'{value:.6g}') for value in values]


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve; `kind` is a CSS class, and an empty `name` is not in the legend."""

    kind: str
    name: str
    points: Sequence[tuple[float, float | None]]


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot in data coordinates."""

    title: str
    summary: str  # for screen readers
    x_label: str
    y_label: str
    x: Scale
    y: Scale
    lines: Sequence[Line]
    dots: Sequence[tuple[float, float, str]] = ()  # x, y, tooltip
    rules: Sequence[tuple[float, str]] = ()  # x and label of a vertical line
    bars: Sequence[tuple[float, float, int]] = ()  # x, share of the highest bar, number

    def coordinates(self, line: Line) -> str:
        """SVG coordinates of a line, without missing values."""
        return ' '.join(f'{self.x(x):g},{self.y(y):g}' for x, y in line.points if y is not None)


def training_curves(stages: Sequence[Stage]) -> tuple[Plot, ...]:
    """Loss and accuracy by epoch, over all stages."""
    return tuple(_curve(stages, key) for key in ('loss', 'accuracy'))


def ranking(models: Mapping[str, ModelResult], classes: Sequence[str]) -> tuple[Plot, ...]:
    """ROC and precision-recall curves of models by name.

    They are of the second of two classes, else the one-vs-rest micro average.
    """
    of = f'of {classes[1]}' if len(classes) == 2 else 'one-vs-rest, micro average'
    kinds = [*zip('ab', models.items(), strict=False)]
    roc = [Line(kind, name, model.roc) for kind, (name, model) in kinds]
    recall = [Line(kind, name, model.precision_recall) for kind, (name, model) in kinds]
    roc.insert(0, Line('guess', '', _DIAGONAL))
    return (
        _unit_square(f'ROC, {of}', 'false positive rate', 'true positive rate', roc),
        _unit_square(f'Precision and recall, {of}', 'recall', 'precision', recall),
    )


def _unit_square(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> Plot:
    names = ' and '.join(line.name for line in lines if line.name)
    x, y = Scale(0, 1, LEFT, RIGHT), Scale(0, 1, BOTTOM, TOP)
    return Plot(title, f'{title} of {names}', x_label, y_label, x, y, lines)


def calibration(evaluation: Evaluation, model: str = 'this model') -> Plot:
    """Reliability diagram: observed share by predicted probability, with a histogram."""
    two = len(evaluation.classes) == 2
    name = evaluation.classes[1] if two else 'the predicted class'
    buckets = evaluation.candidate.calibration
    most = max((each.images for each in buckets), default=1)
    points = [(each.confidence, each.share) for each in buckets]
    return Plot(
        'Calibration',
        f'Reliability diagram of {len(buckets)} buckets, with a histogram of the images',
        f'probability of {name}; bars: images',
        f'share of {name}' if two else 'accuracy',
        Scale(0, 1, LEFT, RIGHT),
        Scale(0, 1, BOTTOM - _HISTOGRAM, TOP),
        [Line('guess', 'perfect', _DIAGONAL), Line('a', model, points)],
        dots=[(x, y, f'probability {x:.2f}, share {y:.2f}') for x, y in points],
        bars=[(each.confidence, each.images / most, each.images) for each in buckets],
    )


def _curve(stages: Sequence[Stage], key: str) -> Plot:
    lines = []
    for split, css, name in (('', 'train', 'training'), ('val_', 'val', 'validation')):
        values = [value for stage in stages for value in stage.metrics.get(split + key, ())]
        lines.append(Line(f'a {css}', name, [*enumerate(values, 1)]))
    epochs = max(len(line.points) for line in lines)
    shown = [y for line in lines for _, y in line.points if y is not None]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    padding = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    dots, rules, before = [], [], 0
    for stage in stages:
        judged = stage.metrics.get(f'val_{key}', ())
        if before:
            rules.append((before + 0.5, stage.name.rpartition(', ')[2]))
        if stage.best_epoch and (value := judged[stage.best_epoch - 1]) is not None:
            text = f'kept: epoch {stage.best_epoch} of {stage.name}, {key} {value:.4f}'
            dots.append((before + stage.best_epoch, value, text))
        before += len(judged)
    return Plot(
        key.capitalize(),
        f'{key.capitalize()} of training and validation, {epochs} epochs',
        'epoch',
        key,
        Scale(1, max(epochs, 2), LEFT, RIGHT, integers=True),
        Scale(0.0 if key == 'loss' else low - padding, high + padding, BOTTOM, TOP),
        lines,
        dots=dots,
        rules=rules,
    )

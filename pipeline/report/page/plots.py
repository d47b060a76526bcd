"""Plots in data coordinates with their scales; the template `plot.svg.j2` draws them as SVG."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from components.evaluation.results import Bucket, Evaluation, ModelResult
from pipeline.report.content.page_data import Stage
from pipeline.report.page.tables import MICRO

LEFT, RIGHT, TOP, BOTTOM = 48, 350, 10, 210  # the axes, in SVG units; the page scales them
_HISTOGRAM = 46  # height of the histogram under the reliability diagram, with padding
_MAX_POINTS = 200  # of a curve; more are not visible
_DIAGONAL = ((0.0, 0.0), (1.0, 1.0))

Points = Sequence[tuple[float, float | None]]
Dot = tuple[float, float, str]  # x, y, tooltip
Rule = tuple[float, str]  # x and label of a vertical line


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
        steps = (factor * power for factor in (1, 2, 5, 10))
        step = next(step for step in steps if step >= least * (1 - 1e-9))
        step = max(step, 1.0) if self.integers else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step)))
        values = [number * step for number in range(first, last + 1)]
        return [(self(value), f'{value:.{digits}f}') for value in values]


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve; `kind` is a CSS class, and an empty `name` is not in the legend."""

    kind: str
    name: str
    points: Points


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
    dots: Sequence[Dot] = ()
    rules: Sequence[Rule] = ()
    bars: Sequence[tuple[float, float, int]] = ()  # x, share of the highest bar, number

    def coordinates(self, line: Line) -> str:
        """SVG coordinates of at most `_MAX_POINTS` points, without missing and infinite values."""
        points = line.points
        if len(points) > _MAX_POINTS:
            step = (len(points) - 1) / (_MAX_POINTS - 1)
            points = [points[round(number * step)] for number in range(_MAX_POINTS)]
        return ' '.join(
            f'{self.x(x):g},{self.y(y):g}' for x, y in points if y is not None and math.isfinite(y)
        )


def training_curves(stages: Sequence[Stage]) -> tuple[Plot, ...]:
    """Loss and accuracy by epoch, over all stages."""
    return tuple(_curve(stages, key) for key in ('loss', 'accuracy')) if stages else ()


def ranking(models: Mapping[str, ModelResult], classes: Sequence[str]) -> tuple[Plot, ...]:
    """ROC and precision-recall curves of models by name.

    They are of the second of two classes, else the one-vs-rest micro average.
    """
    named = [(kind, *item) for kind, item in zip('ab', models.items(), strict=False)]
    roc = [Line('guess', '', _DIAGONAL), *(Line(k, name, each.roc) for k, name, each in named)]
    precision_recall = [Line(kind, name, each.precision_recall) for kind, name, each in named]
    of = f'of {classes[1]}' if len(classes) == 2 else MICRO
    return (
        _unit_square(f'ROC, {of}', 'false positive rate', 'true positive rate', roc),
        _unit_square(f'Precision and recall, {of}', 'recall', 'precision', precision_recall),
    )


def calibration(evaluation: Evaluation) -> Plot:
    """Reliability diagram: observed share by predicted probability, with a histogram."""
    two = len(evaluation.classes) == 2
    name = evaluation.classes[1] if two else 'the predicted class'
    buckets = evaluation.candidate.calibration
    most = max((each.images for each in buckets), default=1)
    return Plot(
        'Calibration',
        f'Reliability diagram of {len(buckets)} buckets, with a histogram of the images',
        f'probability of {name}; bars: images',
        f'share of {name}' if two else 'accuracy',
        Scale(0, 1, LEFT, RIGHT),
        Scale(0, 1, BOTTOM - _HISTOGRAM, TOP),
        [
            Line('guess', 'perfect', _DIAGONAL),
            Line('a', 'this model', [(each.confidence, each.share) for each in buckets]),
        ],
        dots=[(each.confidence, each.share, _tooltip(each)) for each in buckets],
        bars=[(each.confidence, each.images / most, each.images) for each in buckets],
    )


def _tooltip(bucket: Bucket) -> str:
    confidence, share = bucket.confidence, bucket.share
    return f'probability {confidence:.2f}, share {share:.2f}, {bucket.images} images'


def _curve(stages: Sequence[Stage], key: str) -> Plot:
    lines = []
    for split, css, name in (('', 'train', 'training'), ('val_', 'val', 'validation')):
        values = [value for stage in stages for value in stage.metrics.get(split + key, ())]
        lines.append(Line(f'a {css}', name, [*enumerate(values, 1)]))
    epochs = max(len(line.points) for line in lines)
    shown = [y for line in lines for _, y in line.points if y is not None]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    padding = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    dots, rules = _stage_marks(stages, key)
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


def _stage_marks(stages: Sequence[Stage], key: str) -> tuple[list[Dot], list[Rule]]:
    """The best epoch of each stage, whose weights were kept, and the start of later stages."""
    dots: list[Dot] = []
    rules: list[Rule] = []
    before = 0
    for stage in stages:
        values = stage.metrics.get(f'val_{key}', ())
        if before:
            rules.append((before + 0.5, stage.name.rpartition(', ')[2]))
        if stage.best_epoch and (value := values[stage.best_epoch - 1]) is not None:
            text = f'kept: epoch {stage.best_epoch} of {stage.name}, {key} {value:.4f}'
            dots.append((before + stage.best_epoch, value, text))
        before += len(values)
    return dots, rules


def _unit_square(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> Plot:
    names = ' and '.join(line.name for line in lines if line.name)
    x, y = Scale(0, 1, LEFT, RIGHT), Scale(0, 1, BOTTOM, TOP)
    return Plot(title, f'{title} of {names}', x_label, y_label, x, y, lines)

"""Plots as SVG coordinates, which the template `plot.svg.j2` draws."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.evaluation.results import Bucket, Evaluation, ModelResult
from pipeline.report.content.page_data import Stage
from pipeline.report.page.scales import Scale, Tick, around, horizontal, vertical

_STRIP = 46  # height of the histogram under the reliability diagram, with padding
_BAR_WIDTH, _LABEL_WIDTH = 14.0, 20.0
_MAX_POINTS = 200  # of a curve; more are not visible

Points = Sequence[tuple[float, float]]
DIAGONAL: Points = ((0.0, 0.0), (1.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve; `kind` is a CSS class, and an empty `name` is not in the legend."""

    kind: str
    name: str
    points: str


@dataclasses.dataclass(frozen=True)
class Dot:
    """A point with a tooltip."""

    kind: str
    x: float
    y: float
    radius: float
    text: str


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar with a tooltip and a label."""

    x: float
    y: float
    width: float
    height: float
    text: str
    label: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """A vertical line with a label."""

    x: float
    text: str


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        title: shown above the plot.
        summary: description for screen readers.
    """

    title: str
    summary: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()
    rules: tuple[Rule, ...] = ()


def training_curves(runs: Mapping[str, Sequence[Stage]]) -> tuple[Plot, ...]:
    """Loss and accuracy by epoch, over consecutive stages.

    Args:
        runs: stages by the name of the run in the legend; a single run needs no name.
    """
    runs = {name: stages for name, stages in runs.items() if stages}
    if not runs:
        return ()
    return (_curve(runs, 'loss', least=0.0), _curve(runs, 'accuracy'))


def roc(models: Mapping[str, ModelResult]) -> Plot:
    """Receiver operating characteristic, with the line of random guessing."""
    curves = {name: model.roc for name, model in models.items()}
    return _square('ROC', 'false positive rate', 'true positive rate', curves, DIAGONAL)


def precision_recall(models: Mapping[str, ModelResult]) -> Plot:
    """Precision-recall curve."""
    curves = {name: model.precision_recall for name, model in models.items()}
    return _square('Precision and recall', 'recall', 'precision', curves, ())


def calibration(evaluation: Evaluation) -> Plot:
    """Reliability diagram: observed share by predicted probability, with a histogram."""
    two = len(evaluation.classes) == 2
    name = evaluation.classes[1] if two else 'the predicted class'
    x, y = horizontal(0, 1), vertical(0, 1, above=_STRIP)
    buckets = evaluation.candidate.calibration
    measured = [(each.confidence, each.share) for each in buckets]
    return Plot(
        'Calibration',
        f'Reliability diagram of {len(buckets)} buckets, with a histogram of the images',
        f'probability of {name}; bars: images',
        f'share of {name}' if two else 'accuracy',
        x.ticks(5),
        y.ticks(5),
        lines=(_line('guess', 'perfect', DIAGONAL, x, y), _line('a', 'this model', measured, x, y)),
        dots=tuple(
            Dot(
                'a',
                x(b.confidence),
                y(b.share),
                4,
                f'probability {b.confidence:.2f}, share {b.share:.2f}, {b.images} images',
            )
            for b in buckets
        ),
        bars=tuple(_histogram(buckets, x)),
    )


def _histogram(buckets: Sequence[Bucket], x: Scale) -> Iterator[Bar]:
    """Number of images by confidence; labels that would overlap are left out."""
    most = max((each.images for each in buckets), default=1)
    height = vertical(0, most, height=_STRIP - 16)
    last_label = -_LABEL_WIDTH
    for each in buckets:
        centre, top = x(each.confidence), height(each.images)
        label = ''
        if centre - last_label >= _LABEL_WIDTH:
            last_label, label = centre, str(each.images)
        left, text = centre - _BAR_WIDTH / 2, f'{each.images} images'
        yield Bar(left, top, _BAR_WIDTH, height(0) - top, text, label)


def _curve(runs: Mapping[str, Sequence[Stage]], key: str, least: float | None = None) -> Plot:
    series = {
        (number, split): [value for stage in stages for value in stage.metrics.get(split + key, ())]
        for number, stages in enumerate(runs.values())
        for split in ('', 'val_')
    }
    epochs = max(map(len, series.values()))
    shown = [value for values in series.values() for value in values if value is not None]
    x, y = horizontal(1, max(epochs, 2)), vertical(*around(shown, least=least))
    prefixes = [f'{name} ' if len(runs) > 1 else '' for name in runs]
    lines = tuple(
        Line(
            f'{"ab"[number]} {"val" if split else "train"}',
            f'{prefixes[number]}{"validation" if split else "training"}',
            _coordinates(enumerate(values, 1), x, y),
        )
        for (number, split), values in series.items()
    )
    single = next(iter(runs.values())) if len(runs) == 1 else ()
    summary = f'{key.capitalize()} of training and validation, {epochs} epochs'
    return Plot(
        key.capitalize(),
        summary,
        'epoch',
        key,
        x.ticks(least=1.0),
        y.ticks(),
        lines,
        dots=tuple(_best_epochs(single, key, x, y)),
        rules=tuple(_stage_starts(single, x)),
    )


def _best_epochs(stages: Sequence[Stage], key: str, x: Scale, y: Scale) -> Iterator[Dot]:
    """The best epoch of each stage, whose weights were kept."""
    before = 0
    for stage in stages:
        values = stage.metrics.get(f'val_{key}', ())
        if stage.best_epoch and (value := values[stage.best_epoch - 1]) is not None:
            text = f'kept: epoch {stage.best_epoch} of {stage.name}, {key} {value:.4f}'
            yield Dot('a', x(before + stage.best_epoch), y(value), 4, text)
        before += len(values)


def _stage_starts(stages: Sequence[Stage], x: Scale) -> Iterator[Rule]:
    """The start of each stage after the first."""
    before = 0
    for stage in stages:
        if before:
            yield Rule(x(before + 0.5), stage.name.rpartition(', ')[2])
        before += len(stage.metrics.get('val_loss', ()))


def _square(
    title: str, x_label: str, y_label: str, curves: Mapping[str, Points], guessing: Points
) -> Plot:
    x, y = horizontal(0, 1), vertical(0, 1)
    lines = [
        _line('ab'[number], name, thinned(points), x, y)
        for number, (name, points) in enumerate(curves.items())
    ]
    names = ' and '.join(curves)
    return Plot(
        title,
        f'{title} of {names}',
        x_label,
        y_label,
        x.ticks(5),
        y.ticks(5),
        (_line('guess', '', guessing, x, y), *lines),
    )


def thinned(points: Points) -> Points:
    """At most `_MAX_POINTS` evenly chosen points, with the first and the last."""
    if len(points) <= _MAX_POINTS:
        return points
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(number * step)] for number in range(_MAX_POINTS)]


def _line(kind: str, name: str, points: Points, x: Scale, y: Scale) -> Line:
    return Line(kind, name, _coordinates(points, x, y))


def _coordinates(points: Iterable[tuple[float, float | None]], x: Scale, y: Scale) -> str:
    """SVG coordinates; missing and infinite values are skipped."""
    return ' '.join(
        f'{x(one):g},{y(other):g}'
        for one, other in points
        if other is not None and math.isfinite(other)
    )

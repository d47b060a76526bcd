"""The curves of a page, as places in small pictures; the template `plot.svg.j2` draws them."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.evaluation.results import Bucket, Evaluation, ModelResult
from pipeline.report.content.page_data import Stage
from pipeline.report.page.scales import Scale, Tick, around, horizontal, vertical

_STRIP = 46  # height of the bars under a calibration, with the air above them
_BAR, _ROOM = 14.0, 20.0  # their width; that of a number
_MOST_POINTS = 200  # of a curve: more cannot be told apart on a screen

Points = Sequence[tuple[float, float]]
DIAGONAL: Points = ((0.0, 0.0), (1.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve; its kind is a class of the style sheet, and nameless ones are not in the legend."""

    kind: str
    name: str
    points: str


@dataclasses.dataclass(frozen=True)
class Dot:
    """A point that says something when it is pointed at."""

    kind: str
    x: float
    y: float
    radius: float
    text: str


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar from the bottom."""

    x: float
    y: float
    width: float
    height: float
    text: str
    label: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """A vertical line with a word at its upper end."""

    x: float
    text: str


@dataclasses.dataclass(frozen=True)
class Plot:
    """A picture.

    Attributes:
        title: what it shows.
        summary: the same with its main numbers, for those who do not see it.
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
    """Loss and accuracy by epoch, over all stages one after the other.

    Args:
        runs: stages by what the run is called in the legend; one run has no need of a name.
    """
    runs = {name: stages for name, stages in runs.items() if stages}
    if not runs:
        return ()
    return (_curve(runs, 'loss', least=0.0), _curve(runs, 'accuracy'))


def roc(models: Mapping[str, ModelResult]) -> Plot:
    """Receiver operating characteristic, with the line of guessing."""
    curves = {name: model.roc for name, model in models.items()}
    return _square('ROC', 'false positive rate', 'true positive rate', curves, DIAGONAL)


def precision_recall(models: Mapping[str, ModelResult]) -> Plot:
    """Precision by recall."""
    curves = {name: model.precision_recall for name, model in models.items()}
    return _square('Precision and recall', 'recall', 'precision', curves, ())


def calibration(evaluation: Evaluation) -> Plot:
    """Reliability diagram: what was promised, what was kept, and of how many images."""
    two = len(evaluation.classes) == 2
    whose = evaluation.classes[1] if two else 'the likeliest class'
    x, y = horizontal(0, 1), vertical(0, 1, above=_STRIP)
    buckets = evaluation.candidate.calibration
    measured = [(each.confidence, each.share) for each in buckets]
    return Plot(
        'Calibration',
        f'Reliability diagram of {len(buckets)} buckets; the bars count images',
        f'probability of {whose}; bars: images',
        'share of it' if two else 'share that is right',
        x.ticks(5),
        y.ticks(5),
        lines=(_line('guess', 'perfect', DIAGONAL, x, y), _line('a', 'this model', measured, x, y)),
        dots=tuple(
            Dot(
                'a',
                x(b.confidence),
                y(b.share),
                4,
                f'promised {b.confidence:.2f}, kept {b.share:.2f}, of {b.images} images',
            )
            for b in buckets
        ),
        bars=tuple(_counts(buckets, x)),
    )


def _counts(buckets: Sequence[Bucket], x: Scale) -> Iterator[Bar]:
    """Bars under the diagram; a number has no room too close to the one before it."""
    most = max((each.images for each in buckets), default=1)
    height = vertical(0, most, height=_STRIP - 16)
    taken = -_ROOM
    for each in buckets:
        place, top = x(each.confidence), height(each.images)
        room = place - taken >= _ROOM
        taken = place if room else taken
        text = f'{each.images} images'
        label = str(each.images) if room else ''
        yield Bar(place - _BAR / 2, top, _BAR, height(0) - top, text, label)


def _curve(runs: Mapping[str, Sequence[Stage]], key: str, least: float | None = None) -> Plot:
    series = {
        (number, split): [value for stage in stages for value in stage.metrics.get(split + key, ())]
        for number, stages in enumerate(runs.values())
        for split in ('', 'val_')
    }
    epochs = max(map(len, series.values()))
    shown = [value for values in series.values() for value in values if value is not None]
    x, y = horizontal(1, max(epochs, 2)), vertical(*around(shown, least=least))
    names = [f'{name} ' if len(runs) > 1 else '' for name in runs]
    lines = tuple(
        Line(
            f'{"ab"[number]} {"val" if split else "train"}',
            f'{names[number]}{"validation" if split else "training"}',
            _places(enumerate(values, 1), x, y),
        )
        for (number, split), values in series.items()
    )
    alone = next(iter(runs.values())) if len(runs) == 1 else ()
    summary = f'{key.capitalize()} of training and validation, {epochs} epochs'
    return Plot(
        key.capitalize(),
        summary,
        'epoch',
        key,
        x.ticks(least=1.0),
        y.ticks(),
        lines,
        dots=tuple(_kept(alone, key, x, y)),
        rules=tuple(_starts(alone, x)),
    )


def _kept(stages: Sequence[Stage], key: str, x: Scale, y: Scale) -> Iterator[Dot]:
    """The epochs whose weights were kept."""
    before = 0
    for stage in stages:
        values = stage.metrics.get(f'val_{key}', ())
        if stage.best_epoch and (value := values[stage.best_epoch - 1]) is not None:
            text = f'kept: epoch {stage.best_epoch} of {stage.name}, {key} {value:.4f}'
            yield Dot('a', x(before + stage.best_epoch), y(value), 4, text)
        before += len(values)


def _starts(stages: Sequence[Stage], x: Scale) -> Iterator[Rule]:
    """Where a later stage begins."""
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
    """At most so many points as can be told apart, the first and the last among them."""
    if len(points) <= _MOST_POINTS:
        return points
    step = (len(points) - 1) / (_MOST_POINTS - 1)
    return [points[round(number * step)] for number in range(_MOST_POINTS)]


def _line(kind: str, name: str, points: Points, x: Scale, y: Scale) -> Line:
    return Line(kind, name, _places(points, x, y))


def _places(points: Iterable[tuple[float, float | None]], x: Scale, y: Scale) -> str:
    """What is no number is a gap that is closed."""
    return ' '.join(
        f'{x(one):g},{y(other):g}'
        for one, other in points
        if other is not None and math.isfinite(other)
    )

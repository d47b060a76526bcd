"""Renders benchmark entries as one self-contained HTML page, with the plots of the reports."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jinja2
from history import Entry, GrowthPoint, MeasuredRun

from pipeline.report.page.plots import BOTTOM, LEFT, RIGHT, TOP, Line, Plot, Scale
from pipeline.report.page.render import make_environment

_LABEL = 12  # half the width of a tick's label, in SVG units
_OTHER = 0.02  # share of the longest bar; shorter parts are drawn as one
REST, OTHERS = 'imports and rest', 'others'


class LogScale(Scale):
    """A logarithmic scale between powers of ten."""

    def __call__(self, value: float) -> float:
        low, high = math.log10(self.low), math.log10(self.high)
        share = (math.log10(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[tuple[float, str]]:
        powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
        return [(self(10.0**power), _short(10**power)) for power in powers]


@dataclasses.dataclass(frozen=True)
class Bar:
    """A stacked bar: seconds by part, in order."""

    name: str
    parts: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What the page shows of an entry with runs."""

    entry: Entry
    bars: Sequence[Bar]
    colours: Mapping[str, int]  # of the parts
    epochs: Mapping[str, tuple[float, int]]  # mean seconds and number of the script's epochs
    lowest: float  # start of the axis of accuracies


def render(entries: Sequence[Entry]) -> str:
    """Renders entries, oldest first: the newest of each series in detail, and their history."""
    newest = {entry.series: entry for entry in entries if entry.pipeline}
    growth = next((entry for entry in reversed(entries) if entry.growth), None)
    environment = make_environment(jinja2.FileSystemLoader(Path(__file__).parent))
    return environment.get_template('page.html.j2').render(
        pairs=[_pairs(entry) for entry in reversed(newest.values())],
        history=history_plots(entries),
        entries=[entry for entry in reversed(entries) if entry.pipeline],
        growth=growth,
        growth_plots=growth_plots(growth.growth) if growth else (),
        growth_rows=growth_rows(growth.growth) if growth else (),
    )


def _pairs(entry: Entry) -> Pairs:
    bars = [Bar('pipeline', mean_parts(entry.pipeline))]
    trainer = [run.trainer for run in entry.pipeline]
    bars.append(Bar('of it the Trainer', _mean(trainer)))
    if beside := _mean([run.beside for run in entry.pipeline]):
        bars.append(Bar('beside it', beside))
    if entry.plain:
        bars.append(Bar('plain script', mean_parts(entry.plain)))
    longest = max(bar.seconds for bar in bars)
    bars = [Bar(bar.name, shortened(bar.parts, _OTHER * longest)) for bar in bars]
    names = dict.fromkeys(name for bar in bars for name in bar.parts)
    colours = {name: number for number, name in enumerate(each for each in names if each != OTHERS)}
    runs = (*entry.pipeline, *entry.plain)
    return Pairs(
        entry,
        bars,
        {**colours, OTHERS: -1} if OTHERS in names else colours,
        {
            stage: (sum(found) / len(found), len(found) // len(entry.plain))
            for stage in (entry.plain[0].epochs if entry.plain else ())
            if (found := [each for run in entry.plain for each in run.epochs[stage]])
        },
        max(0.0, min(run.accuracy.low or 0.0 for run in runs) - 0.01),
    )


def mean_parts(runs: Sequence[MeasuredRun]) -> dict[str, float]:
    """Mean seconds of each part, and what the wall time has beyond them."""
    parts = _mean([run.parts for run in runs])
    wall = sum(run.seconds for run in runs) / len(runs)
    return {**parts, REST: max(0.0, wall - sum(parts.values()))}


def _mean(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(run.get(name, 0.0) for run in runs) / len(runs) for name in runs[0]}


def shortened(parts: Mapping[str, float], least: float) -> dict[str, float]:
    """Sums the parts below `least` seconds under one name, in the last place."""
    shown = {name: seconds for name, seconds in parts.items() if seconds >= least}
    others = sum(parts.values()) - sum(shown.values())
    return {**shown, OTHERS: others} if others > 0 else shown


def history_plots(entries: Iterable[Entry]) -> list[Plot]:
    """Ratio and seconds of the pipeline over the entries of each series with two or more."""
    series: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.pipeline:
            series[entry.series].append(entry)
    plots = []
    for name, found in series.items():
        if len(found) < 2:
            continue
        ratios = [each.ratio for each in found]
        seconds = [sum(run.seconds for run in each.pipeline) / len(each.pipeline) for each in found]
        for title, label, values in (
            ('Ratio', 'pipeline / plain script', ratios),
            ('Seconds of the pipeline', 'seconds, mean', seconds),
        ):
            known = [
                (number, value, f'{each.date[:10]}, {each.version}, {each.machine}: {value:.2f}')
                for number, (value, each) in enumerate(zip(values, found, strict=True), 1)
                if value is not None
            ]
            if known:
                points = [(number, value) for number, value, _ in known]
                x = Scale(1, len(found), LEFT, RIGHT, integers=True)
                plots.append(_plot(f'{title}: {name}', 'run', label, x, points, known))
    return plots


def growth_plots(points: Sequence[GrowthPoint]) -> list[tuple[Plot, Plot]]:
    """CPU time per image and peak memory of each node over the number of images."""
    nodes = _by_node(points)
    low, high = min(each.images for each in points), max(each.images for each in points)
    low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
    x = LogScale(low, max(high, 10 * low), LEFT, RIGHT - _LABEL)
    plots = []
    for name, found in nodes.items():
        title = f'{name}, simulated' if found[0].simulated else name
        pair = []
        costs = [1e6 * each.cpu_seconds / each.images for each in found]
        small = max(costs) < 1000
        costs = costs if small else [each / 1000 for each in costs]
        time = 'µs' if small else 'ms'
        for label, unit, values in (
            (f'CPU {time} per image', time, costs),
            ('peak memory, MB', 'MB', [each.peak_mb for each in found]),
        ):
            dots = [
                (each.images, value, f'{each.images:,} images: {value:,.3g} {unit}')
                for each, value in zip(found, values, strict=True)
            ]
            line = [(each.images, value) for each, value in zip(found, values, strict=True)]
            pair.append(_plot(title, 'images', label, x, line, dots))
        plots.append((pair[0], pair[1]))
    return plots


def growth_rows(points: Sequence[GrowthPoint]) -> list[tuple[str, str, float, float, float]]:
    """Table of the nodes: range of images, marginal CPU ms and KB per image, last peak in MB.

    The marginal cost is that of the images beyond the second largest number.
    """
    rows = []
    for name, found in _by_node(points).items():
        if len(found) > 1:
            before, last = found[-2:]
            more = last.images - before.images
            milliseconds = 1000 * (last.cpu_seconds - before.cpu_seconds) / more
            kilobytes = 1024 * (last.peak_mb - before.peak_mb) / more
            span = f'{_short(found[0].images)} to {_short(last.images)}'
            rows.append((name, span, milliseconds, kilobytes, last.peak_mb))
    return rows


def _by_node(points: Sequence[GrowthPoint]) -> dict[str, list[GrowthPoint]]:
    nodes: dict[str, list[GrowthPoint]] = defaultdict(list)
    for point in sorted(points, key=lambda each: each.images):
        nodes[point.node].append(point)
    return nodes


def _plot(
    title: str,
    x_label: str,
    y_label: str,
    x: Scale,
    points: Sequence[tuple[float, float]],
    dots: Sequence[tuple[float, float, str]],
) -> Plot:
    """A line with dots; the y axis starts at 0, so that a flat line looks flat."""
    highest = max((value for _, value in points), default=1.0)
    y = Scale(0, 1.15 * highest or 1.0, BOTTOM, TOP)
    summary = f'{title}: {y_label} over {x_label}'
    return Plot(title, summary, x_label, y_label, x, y, [Line('a', '', points)], dots=dots)


def _short(images: float) -> str:
    """A number of images in at most four characters, as in 10k."""
    for unit, power in (('M', 6), ('k', 3)):
        if images >= 10**power:
            return f'{images / 10**power:g}{unit}'
    return f'{images:g}'

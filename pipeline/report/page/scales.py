"""Axes of a plot: scales from data to SVG coordinates, and tick marks."""

import dataclasses
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 360, 250  # of a plot, in SVG units; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 10, 40


@dataclasses.dataclass(frozen=True)
class Tick:
    """A tick mark: coordinate and label."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` linearly to coordinates from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int = 6, *, least: float = 0.0) -> tuple[Tick, ...]:
        """Ticks at round numbers, in at most `most` steps of at least `least` (1 for epochs)."""
        step = round_step(max((self.high - self.low) / most, least))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step)))
        return tuple(
            Tick(self(number * step), f'{number * step:.{digits}f}')
            for number in range(first, last + 1)
        )


def horizontal(low: float, high: float) -> Scale:
    """Scale of the x axis."""
    return Scale(low, high, _LEFT, WIDTH - _RIGHT)


def vertical(low: float, high: float, *, above: float = 0, height: float | None = None) -> Scale:
    """Scale of the y axis; SVG coordinates grow downwards.

    Args:
        low: value at the lower end.
        high: value at the upper end.
        above: distance of the lower end from the x axis.
        height: length of the axis; None: up to the top.
    """
    start = HEIGHT - _BOTTOM - above
    return Scale(low, high, start, _TOP if height is None else start - height)


def round_step(least: float) -> float:
    """The smallest of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def around(values: Sequence[float], *, least: float | None = None) -> tuple[float, float]:
    """Limits of an axis for all values, with 5 % padding; the axis starts at `least`, if given."""
    low = min(values, default=0.0) if least is None else least
    high = max(values, default=1.0)
    padding = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return (low - padding if least is None else low), high + padding

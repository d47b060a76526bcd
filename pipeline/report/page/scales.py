"""From numbers to places in a picture, and marks on its axes."""

import dataclasses
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 360, 250  # of a picture, in its own units; on a page it is as wide as there is room
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 10, 40


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Scale:
    """Where the numbers from `low` to `high` are, between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int = 6, *, least: float = 0.0) -> tuple[Tick, ...]:
        """Marks at round numbers, not closer than `least`: there is no half of an epoch."""
        step = round_step(max((self.high - self.low) / most, least))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step)))
        return tuple(
            Tick(self(number * step), f'{number * step:.{digits}f}')
            for number in range(first, last + 1)
        )


def horizontal(low: float, high: float) -> Scale:
    """The axis at the bottom."""
    return Scale(low, high, _LEFT, WIDTH - _RIGHT)


def vertical(low: float, high: float, *, above: float = 0, height: float | None = None) -> Scale:
    """The axis at the left; a picture's own units grow downwards.

    Args:
        low: the number at its lower end.
        high: the number at its upper end.
        above: where it begins, from the bottom.
        height: of it; None: up to the top.
    """
    start = HEIGHT - _BOTTOM - above
    return Scale(low, high, start, _TOP if height is None else start - height)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... and their tenths that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def around(values: Sequence[float], *, least: float | None = None) -> tuple[float, float]:
    """Ends of an axis that shows all values with some air; it begins at `least`, if given."""
    low = min(values, default=0.0) if least is None else least
    high = max(values, default=1.0)
    air = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return (low - air if least is None else low), high + air

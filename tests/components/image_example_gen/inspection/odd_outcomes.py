"""Expected outcomes of odd files."""

from dataclasses import dataclass
from typing import Literal

import image_bytes as made

from common.errors import RejectionReason

REDS = tuple((red, red, red) for red, _, _ in made.QUARTERS)
LUMA = tuple((luma,) * 3 for luma in (87, 119, 58, 203))  # of the quarters
BLACK_WHITE = ((0,) * 3, (255,) * 3) * 2  # of `made.two_colours`
ON_WHITE = (made.RED, (255, 255, 255), made.BLUE, (242, 238, 148))


@dataclass(frozen=True)
class Accepted:
    """Accepted, with the format, size and colours of the stored image."""

    change: str | None = None  # the same bytes
    format: str = 'jpeg'
    size: tuple[int, int] = made.SIZE
    colours: tuple[tuple[int, ...], ...] | None = made.QUARTERS


@dataclass(frozen=True)
class Refused:
    """Refused for this reason, with these words in the detail."""

    reason: RejectionReason
    words: str


@dataclass(frozen=True)
class Either:
    """Damage that a decoder may miss: kept unchanged, or refused for one of the reasons."""

    reasons: tuple[RejectionReason, ...] = ('damaged', 'truncated')


@dataclass(frozen=True)
class OddImage:
    contents: bytes
    outcome: Accepted | Refused | Either
    animated: Literal['first_frame', 'refuse'] = 'first_frame'

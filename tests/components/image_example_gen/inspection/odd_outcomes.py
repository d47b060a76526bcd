"""What may become of an odd file."""

from dataclasses import dataclass
from typing import Literal

import image_bytes as made

from common.errors import RejectionReason

REDS = tuple((red, red, red) for red, _, _ in made.QUARTERS)
LUMA = tuple((luma,) * 3 for luma in (87, 119, 58, 203))  # of the quarters
ON_WHITE = (made.RED, (255, 255, 255), made.BLUE, (242, 238, 148))


@dataclass(frozen=True)
class Accepted:
    """With its format and size afterwards, and the colours of its quarters."""

    change: str | None = None  # the same bytes
    format: str = 'jpeg'
    size: tuple[int, int] = made.SIZE
    colours: tuple[tuple[int, ...], ...] | None = made.QUARTERS


@dataclass(frozen=True)
class Refused:
    """For this reason, with these words in the detail."""

    reason: RejectionReason
    words: str


@dataclass(frozen=True)
class Either:
    """Damage that a decoder need not notice: used as it is, or refused for one of the reasons."""

    reasons: tuple[RejectionReason, ...] = ('damaged', 'truncated')


@dataclass(frozen=True)
class OddImage:
    contents: bytes
    outcome: Accepted | Refused | Either
    animated: Literal['first_frame', 'refuse'] = 'first_frame'

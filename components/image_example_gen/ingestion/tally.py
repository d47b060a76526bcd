"""How many images there were, and what became of those that were not used as they came."""

import dataclasses
from collections import Counter


@dataclasses.dataclass(frozen=True)
class Tally:
    """Numbers of images, of a span or of several.

    Attributes:
        seen: how many there were.
        bad: how many were set aside, by reason.
        duplicates: how many were left out as copies of others, with the same bytes and label.
        between: how many were left out because they have near copies in two splits of other spans.
        moved: how many are in another split than they would be alone, with near copies of theirs.
        repeated: how many have the same bytes as images of other spans; they are used.
    """

    seen: int = 0
    bad: dict[str, int] = dataclasses.field(default_factory=dict)
    duplicates: int = 0
    between: int = 0
    moved: int = 0
    repeated: int = 0

    @property
    def used(self) -> int:
        """How many are in a split."""
        return self.seen - sum(self.bad.values()) - self.duplicates - self.between

    def __add__(self, other: 'Tally') -> 'Tally':
        return Tally(
            self.seen + other.seen,
            dict((Counter(self.bad) + Counter(other.bad)).most_common()),
            self.duplicates + other.duplicates,
            self.between + other.between,
            self.moved + other.moved,
            self.repeated + other.repeated,
        )

    def clauses(self) -> list[str]:
        """For a person, such as `3 set aside (2 truncated, 1 empty)`; none if all were used."""
        bad = sum(self.bad.values())
        found = [
            (bad, f'{bad} set aside ({describe_bad(self.bad)})'),
            (
                self.duplicates,
                f'{self.duplicates} cop{"ies" if self.duplicates > 1 else "y"} left out',
            ),
            (self.between, f'{self.between} left out, with near copies in two splits'),
            (self.moved, f'{self.moved} moved, to be in one split with near copies'),
            (self.repeated, f'{self.repeated} in other spans too'),
        ]
        return [text for number, text in found if number]


def describe_bad(bad: dict[str, int]) -> str:
    """`3 truncated, 1 not an image`."""
    return ', '.join(f'{number} {reason}' for reason, number in bad.items())

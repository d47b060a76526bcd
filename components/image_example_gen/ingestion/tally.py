"""Counts of used, quarantined and skipped images."""

import dataclasses
from collections import Counter


@dataclasses.dataclass(frozen=True)
class Tally:
    """Numbers of images, of one span or of several."""

    seen: int = 0
    bad: dict[str, int] = dataclasses.field(default_factory=dict)  # quarantined, by reason
    duplicates: int = 0  # skipped: the same bytes and label as another image of the span
    between: int = 0  # skipped: near-duplicates, or their group, in two splits that are given
    repeated: int = 0  # used, and with the same bytes as an image of another span
    ungrouped: int = 0  # used, and without a group although `data.group_by` is set

    @property
    def used(self) -> int:
        """Number of images in a split."""
        return self.seen - sum(self.bad.values()) - self.duplicates - self.between

    def __add__(self, other: 'Tally') -> 'Tally':
        numbers = (each.name for each in dataclasses.fields(self) if each.name != 'bad')
        sums = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return Tally(bad=dict((Counter(self.bad) + Counter(other.bad)).most_common()), **sums)

    def clauses(self) -> list[str]:
        """Human-readable, such as `3 quarantined (2 truncated, 1 empty)`; zeros are omitted."""
        counted = {
            f'quarantined ({describe_bad(self.bad)})': sum(self.bad.values()),
            f'duplicate{"s" * (self.duplicates > 1)} skipped': self.duplicates,
            'skipped (near-duplicates in two splits)': self.between,
            'also in other spans': self.repeated,
            'without a group': self.ungrouped,
        }
        return [f'{number} {text}' for text, number in counted.items() if number]


def describe_bad(bad: dict[str, int]) -> str:
    """Formats counts by reason, such as `3 truncated, 1 not an image`."""
    return ', '.join(f'{number} {reason}' for reason, number in bad.items())

"""Why one image cannot be used."""

from typing import Literal

Reason = Literal[
    'unreadable',
    'empty',
    'not an image',
    'unsupported format',
    'truncated',
    'damaged',
    'too small',
    'too large',
    'animated',
    'label outside the list',
    'under two labels',
]


class Rejected(Exception):
    """One image cannot be used; `str` of it gives reason and detail.

    Attributes:
        reason: what is wrong, by its kind.
        detail: the same in one clause about the file, such as "it ends after 4,096 bytes, in the
            middle of the picture".
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that it can be pickled
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f'{self.reason}: {self.detail}'


def cut(contents: bytes, where: str = 'in the middle of the picture') -> Rejected:
    """The file ends before its picture does."""
    return Rejected('truncated', f'it ends after {len(contents):,} bytes, {where}')

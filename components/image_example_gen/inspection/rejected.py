"""The exception that says why an image is refused."""

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
    """An image is refused; `str` of it gives reason and detail.

    Attributes:
        reason: the category, for counts and filters.
        detail: one clause about the file, such as "it ends after 4,096 bytes, in the middle of the
            picture".
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that it can be pickled
        self.reason: Reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f'{self.reason}: {self.detail}'


def truncated(contents: bytes, where: str = 'in the middle of the picture') -> Rejected:
    """The exception for a file that ends before its picture does."""
    return Rejected('truncated', f'it ends after {len(contents):,} bytes, {where}')

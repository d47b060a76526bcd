"""What every source of labelled images offers."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class DataError(ValueError):
    """The images cannot be used; the message is one sentence for the person who gave them."""


class LabelledImage(NamedTuple):
    """One image as it came.

    Attributes:
        contents: bytes of a JPEG or PNG file.
        label: index into the classes of the source.
        filename: where it came from, for error messages and for the record.
    """

    contents: bytes
    label: int
    filename: str


class Source(Protocol):
    """A set of labelled images.

    Attributes:
        classes: names, in the order of their labels.
        count: number of images.
        fingerprint: changes when the images change.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def count(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def images(self) -> Iterator[LabelledImage]:
        """Gives each image once, always in the same order."""
        ...

"""What every source of labelled images offers."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

Part = Literal['train', 'validation']


class DataError(ValueError):
    """The images cannot be used; the message is one sentence for the person who gave them."""


class LabelledImage(NamedTuple):
    """One image as it came.

    Attributes:
        contents: bytes of a JPEG or PNG file.
        label: index into the classes of the source.
        filename: where it came from, for error messages and for the record.
        part: which part of a set that comes divided; None if it does not.
    """

    contents: bytes
    label: int
    filename: str
    part: Part | None = None


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


def describe_classes(names: Sequence[str]) -> str:
    """`2 classes (cats, dogs)`, with no more than five names."""
    shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
    return f'{len(names)} class{"es" * (len(names) != 1)} ({shown})'

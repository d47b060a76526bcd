"""What every source of labelled images offers."""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from common.errors import RejectionReason

Part = Literal['train', 'validation']
IMAGES_PER_SHARD = 512  # about


class LabelledImage(NamedTuple):
    """One image as it came.

    Attributes:
        contents: bytes of an image file.
        label: index into the classes of the source.
        filename: where it came from, for error messages and for the record.
        part: which part of a set that comes divided; None if it does not.
        source: the folder or file that it shares with others; empty where nobody can tell.
    """

    contents: bytes
    label: int
    filename: str
    part: Part | None = None
    source: str = ''


class BadImage(NamedTuple):
    """One image that cannot be used.

    Attributes:
        filename: where it came from.
        reason: what is wrong, by its kind.
        detail: the same in one clause for a person, such as "it ends after 4,096 of its bytes".
        contents: the bytes as they came; none where there are none, or too many to hold.
    """

    filename: str
    reason: RejectionReason
    detail: str
    contents: bytes = b''


@runtime_checkable  # Beam asks
class Shard(Protocol):
    """A part of a source that one worker reads from beginning to end; it can be pickled."""

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Gives each image once, always in the same order.

        An image that cannot be read is a bad one; a file that should hold many of them and does
        not is a DataError.
        """
        ...


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

    def shards(self) -> Sequence[Shard]:
        """All of it, in parts of about IMAGES_PER_SHARD; the same parts each time."""
        ...


def every_image(source: Source) -> Iterator[LabelledImage | BadImage]:
    """The images of all shards, one shard after the other."""
    return itertools.chain.from_iterable(shard.images() for shard in source.shards())


def class_name(text: str) -> str:
    """A name of a class as it is compared: in NFC, as people type it; macOS may write NFD.

    Source: Unicode Standard Annex #15.
    """
    return unicodedata.normalize('NFC', text)


def describe_classes(names: Sequence[str]) -> str:
    """`2 classes (cats, dogs)`, with no more than five names."""
    shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
    return f'{len(names)} class{"es" * (len(names) != 1)} ({shown})'

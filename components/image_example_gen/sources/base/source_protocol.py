"""Interface of the sources of labelled images."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from common.errors import RejectionReason

# The part of an image in a source that is already divided.
Part = Literal['train', 'train_and_eval', 'eval', 'eval_and_test', 'test']
IMAGES_PER_SHARD = 512  # about
LONGEST_TEXT = 4096  # bytes of a path, label or group in a record; the limit of paths in Linux
_NAME_BYTES = 255  # as in file systems


class LabelledImage(NamedTuple):
    """One image of a source: the bytes of an image file, and the index of its class."""

    contents: bytes
    label: int
    filename: str  # origin of the image, for error messages and the record
    part: Part | None = None  # the splits that it may be in; None if the source is not divided
    source: str = ''  # the folder or file that the image shares with others; empty if unknown
    group: str | None = None  # by `data.group_by`; None without one


class BadImage(NamedTuple):
    """One image that cannot be used."""

    filename: str
    reason: RejectionReason
    detail: str  # the problem in one clause, such as "it ends after 4,096 of its bytes"
    # Bytes of the source; empty if there are none, or too many to hold in memory
    contents: bytes = b''


@runtime_checkable  # required by Beam
class Shard(Protocol):
    """A part of a source that one worker reads; can be pickled."""

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Yields each image once, always in the same order; an unreadable one as a BadImage.

        Raises:
            DataError: a file of many images, or the whole source, cannot be read.
        """
        ...


class Source(Protocol):
    """A set of labelled images."""

    count: int  # of the images
    fingerprint: str  # changes when the images change
    # One line each: how the source was understood, what was left out, and warnings about the data
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]: ...  # in the order of the labels

    @property
    def counts(self) -> Counter[str]: ...  # images by class

    def with_classes(
        self, classes: Sequence[str], new: Mapping[str, str] | None = None
    ) -> 'Source':
        """The same images with the classes of all spans, and new names of some."""
        ...

    def shards(self) -> Sequence[Shard]:
        """Divides the source into parts of about IMAGES_PER_SHARD; always the same parts."""
        ...


def ranges(count: int, most: int | None = None) -> Iterator[range]:
    """Divides the numbers below `count` into ranges of about IMAGES_PER_SHARD, at most `most`."""
    parts = -(-count // IMAGES_PER_SHARD)
    parts = min(parts, most or parts)
    for part in range(parts):
        yield range(count * part // parts, count * (part + 1) // parts)


def every_image(source: Source) -> Iterator[LabelledImage | BadImage]:
    """Yields the images of all shards in order."""
    return itertools.chain.from_iterable(shard.images() for shard in source.shards())


def class_name(text: str) -> str:
    """Normalizes a class name to NFC (Unicode Standard Annex #15); macOS may write NFD."""
    return unicodedata.normalize('NFC', text)


def is_class_name(text: str) -> bool:
    """Whether a text is a name: valid Unicode of 1 to 255 bytes, without control characters."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:  # such as the name of a folder with bytes that are no UTF-8
        return False
    printable = not any(unicodedata.category(each) == 'Cc' for each in text)
    return bool(text.strip()) and printable and length <= _NAME_BYTES


def describe_classes(names: Sequence[str]) -> str:
    """Formats names as `2 classes (cats, dogs)`; shows at most five."""
    shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
    return f'{len(names)} class{"es" * (len(names) != 1)} ({shown})'

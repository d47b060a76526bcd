"""Reads one image file of a folder, or tells why it cannot be read."""

from collections.abc import Callable, Iterable
from typing import IO, NamedTuple

from common.errors import Rejected
from common.files import MEGABYTE
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.sources.base.layout import Kind
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    Part,
)

MAX_BYTES = CheckConfig().max_bytes  # of an image, where nothing else is said
READ_ERRORS = (OSError, ValueError)  # a name with a null byte is a ValueError


class Member(NamedTuple):
    """One image of a set, before it is read.

    Attributes:
        name: its path in the folder.
        label: index into the classes; None if it is of none of them.
        part: of a set that comes divided.
        source: as that of the image.
    """

    name: str
    label: int | None
    part: Part | None
    source: str = ''


def require_within(limit: int, size: int) -> None:
    """Raises Rejected for more bytes than the limit."""
    if size > limit:
        detail = f'it has {size / MEGABYTE:,.1f} MB; the limit is {limit / MEGABYTE:g} MB'
        raise Rejected('too large', detail)


def read_within(limit: int, size: int, file: IO[bytes]) -> bytes:
    """Reads a file of `size` bytes, or of however many there are; never more than `limit` and one.

    Raises:
        Rejected: there are more than `limit`.
    """
    require_within(limit, size)
    contents = file.read(limit + 1)
    if len(contents) > limit:
        detail = f'it has more bytes than it says; the limit is {limit / MEGABYTE:g} MB'
        raise Rejected('too large', detail)
    return contents


def to_image(member: Member, read: Callable[[Member], bytes]) -> LabelledImage | BadImage:
    """The image, or what is wrong with it. One without a label is not read."""
    if member.label is None:
        return BadImage(
            member.name, 'label outside the list', 'it lies in the folder of no class of the list'
        )
    try:
        return LabelledImage(read(member), member.label, member.name, member.part, member.source)
    except Rejected as error:
        return BadImage(member.name, error.reason, error.detail)
    except READ_ERRORS as error:
        return BadImage(member.name, 'unreadable', f'it cannot be read: {told(error)}')


def told(error: BaseException) -> str:
    """What went wrong, without the number and the path that the system puts around it."""
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__


def label_of(kind: Kind, classes: tuple[str, ...]) -> int | None:
    """The label of an image; None if it is of no class of the list."""
    return classes.index(kind.class_name) if kind.class_name in classes else None


def dealt(members: Iterable[Member]) -> list[tuple[Member, ...]]:
    """Deals images out like cards into parts of about IMAGES_PER_SHARD.

    Folders give one class after the other. This way every part holds all of them, and a shuffle
    with a bounded buffer mixes a set of any size.
    """
    everything = tuple(members)
    hands = -(-len(everything) // IMAGES_PER_SHARD)
    return [everything[hand::hands] for hand in range(hands)]

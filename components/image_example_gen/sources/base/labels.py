"""From the labels of a source, numbers or names, to places in the one list of classes."""

import dataclasses
import difflib
from collections.abc import Sequence

from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import class_name, describe_classes


@dataclasses.dataclass(frozen=True)
class Labels:
    """How the labels of a source become indices into its classes.

    Attributes:
        classes: names in the order of the indices.
        names: what the source's own numbers stand for; the same, or more where only some of its
            classes are wanted.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]

    def index(self, given: int | str | None) -> int | None:
        """The index of a label, by its number or name; None if it is outside the list."""
        if isinstance(given, int):
            given = self.names[given] if 0 <= given < len(self.names) else None
        name = class_name(given) if given else None
        return self.classes.index(name) if name in self.classes else None

    def outside(self, given: int | str | None) -> str:
        """What is wrong with a label that has no index."""
        if given is None:
            return 'it has no label'
        if isinstance(given, int) and 0 <= given < len(self.names):
            given = self.names[given]
        return f'its label is {given}; there are {describe_classes(self.classes)}'


def make_labels(
    place: object, own: tuple[str, ...] | None, wanted: tuple[str, ...] | None
) -> Labels:
    """The labels of a source.

    Args:
        place: what the source is called in errors.
        own: the names that it gives to its numbers, or its names in order; None if it has none.
        wanted: `data.classes` of the recipe. Some or all of the source's own names choose and order
            its classes; as many others are new names for its numbers.

    Raises:
        DataError: nobody names the classes, there are not two different ones, or those that are
            wanted are neither the source's own nor as many new ones.
    """
    if own:
        own = tuple(map(class_name, own))
    classes = tuple(map(class_name, wanted or own or ()))
    if not classes:
        raise DataError(
            f'{place} does not name its classes; give them in the order of their labels, '
            'as in --set data.classes=[cat,dog]'
        )
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise DataError(
            f'{place} has {describe_classes(classes)}; expected two or more, all different'
        )
    if own is None or (len(classes) == len(own) and not set(classes) & set(own)):
        return Labels(classes, classes)
    require_known(place, own, classes)
    return Labels(classes, own)


def require_known(place: object, own: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises DataError, with a name that is close, if one that is wanted is not the source's own.

    Taken for new names, a misspelt one would rename all classes by their places in the list.
    """
    unknown = next((name for name in wanted if name not in own), None)
    if unknown is None:
        return
    left = [name for name in own if name not in wanted]
    close = difflib.get_close_matches(unknown, left, n=1)
    hint = f'did you mean {close[0]!r}?' if close else 'list some of these, or new names for all'
    raise DataError(
        f'{place} has {describe_classes(own)} and no class {unknown!r}, which data.classes '
        f'lists; {hint}'
    )

"""Maps the labels of a source, numbers or names, to class indices."""

import dataclasses
import difflib
from collections.abc import Sequence

from common.errors import DataError, RejectionReason, TooFewImages
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    class_name,
    describe_classes,
    is_class_name,
)

_MOST_CLASSES = 10_000
_LONGEST_LABEL = 100  # characters in messages


@dataclasses.dataclass(frozen=True)
class Labels:
    """Maps the labels of a source to class indices."""

    classes: tuple[str, ...]  # names in the order of the indices
    # The source's names of its own label numbers; more than `classes` if a recipe selects some
    names: tuple[str, ...]

    def to_image(
        self,
        contents: bytes,
        label: int | str | None,
        filename: str,
        source: str,
        group: str | None = None,
    ) -> LabelledImage | BadImage:
        """Labels an image with its class index; a BadImage if the label is not in the list."""
        if isinstance(label, int):
            name = self.names[label] if 0 <= label < len(self.names) else None
        else:
            name = class_name(label) if label else None
        if name in self.classes:
            number = self.classes.index(name)
            return LabelledImage(contents, number, filename, source=source, group=group)
        expected = f'expected one of {describe_classes(self.classes)}'
        given = str(name or label)[:_LONGEST_LABEL]
        detail = 'it has no label' if label is None else f'its label is {given}; {expected}'
        reason: RejectionReason = 'unknown class' if name else 'label outside the list'
        return BadImage(filename, reason, detail, contents)


def make_labels(
    place: object, own: tuple[str, ...] | None, wanted: tuple[str, ...] | None
) -> Labels:
    """Combines the class names of a source and of a recipe.

    Args:
        place: name of the source in error messages.
        own: the source's names of its label numbers, or its sorted class names, if it has any.
        wanted: `data.classes`: some of these names in the order of the labels, or as many new ones.

    Raises:
        DataError: there are not two or more different names, or `wanted` is neither of these.
    """
    if own:
        own = tuple(map(class_name, own))
    classes = tuple(map(class_name, wanted or own or ()))
    require_names(place, (*classes, *(own or ())))
    if not classes:
        raise DataError(
            f'{place} does not name its classes; list them in the order of their labels, '
            'such as --set data.classes=[cat,dog]'
        )
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise DataError(
            f'{place} has {describe_classes(classes)}; expected two or more, all different'
        )
    if own is None or (len(classes) == len(own) and not set(classes) & set(own)):
        return Labels(classes, classes)
    require_known(place, own, classes)
    return Labels(classes, own)


def require_names(place: object, names: Sequence[str]) -> None:
    """Raises DataError if there are very many classes, or one has a name that cannot be used."""
    if len(set(names)) > _MOST_CLASSES:
        raise DataError(
            f'{place} has more than {_MOST_CLASSES:,} classes; perhaps its labels are identifiers'
        )
    wrong = next((name for name in names if not is_class_name(name)), None)
    if wrong is not None:
        problem = 'control characters, no valid Unicode, or more than 255 bytes'
        problem = problem if wrong.strip() else 'no characters'
        raise DataError(f'{place} has the class name {wrong[:100]!a}, with {problem}; rename it')


def require_known(place: object, own: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises TooFewImages if a source lacks a wanted class.

    Without this check, a misspelt name would rename all classes by their position in the list.
    """
    unknown = next((name for name in wanted if name not in own), None)
    if unknown is not None:
        left = [name for name in own if name not in wanted]
        close = difflib.get_close_matches(unknown, left, n=1)
        hint = f'did you mean {close[0]!r}?' if close else 'select from these, or rename all'
        raise TooFewImages(
            f'{place} has {describe_classes(own)}, but data.classes lists {unknown!r}; {hint}'
        )

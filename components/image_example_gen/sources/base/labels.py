"""Maps the labels of a source, numbers or names, to class indices."""

import dataclasses
import difflib
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from common.errors import DataError, RejectionReason, TooFewImages
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    Part,
    class_name,
    describe_classes,
    is_class_name,
)

Label = int | float | str | None  # of a source: name of a folder, value of a column or a feature
NO_LABELS: tuple[Label, ...] = (None, '', '-1', -1, '-1.0')  # -1 in benchmarks' test parts
Wanted = Sequence[str] | Mapping[str, str] | None  # `data.classes`: names, or old and new names
_MOST_CLASSES = 10_000
_LONGEST_LABEL = 100  # characters in messages
_NUMBER = re.compile(r'([0-9]{1,9})(\.0+)?')  # pandas writes 1.0 in a column with missing values


@dataclasses.dataclass(frozen=True)
class Labels:
    """The class of each label of a source."""

    classes: tuple[str, ...]  # names in the order of the indices
    names: Mapping[Label, str]  # the class name of each label, also of classes that are not trained
    counts: Counter[str]  # images of each class name
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def _indices(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}

    def index(self, label: Label) -> int | None:
        """The class index of a label; None if its images are not trained."""
        return self._indices.get(self.names.get(label, ''))

    def rejected(self, filename: str, label: Label, contents: bytes = b'') -> BadImage:
        """An image whose label has no class index."""
        given = self.names.get(label, str(label))[:_LONGEST_LABEL]
        detail = f'its label is {given}; expected one of {describe_classes(self.classes)}'
        reason: RejectionReason = 'unknown class'
        if label not in self.names:
            reason = 'label outside the list'
        return BadImage(
            filename, reason, detail if label not in NO_LABELS else 'no label', contents
        )

    def to_image(
        self,
        contents: bytes,
        label: Label,
        filename: str,
        part: Part | None = None,
        source: str = '',
        group: str | None = None,
    ) -> LabelledImage | BadImage:
        """Labels an image with its class index; a BadImage if it has none."""
        number = self.index(label)
        if number is None:
            return self.rejected(filename, label, contents)
        return LabelledImage(contents, number, filename, part, source, group)

    def with_classes(
        self, classes: Sequence[str], new: Mapping[str, str] | None = None
    ) -> 'Labels':
        """A copy with other classes, in the order of the indices, and new names of some."""
        new = new or {}
        names = {label: new.get(name, name) for label, name in self.names.items()}
        counts: Counter[str] = Counter()
        for name, number in self.counts.items():
            counts[new.get(name, name)] += number
        return dataclasses.replace(self, classes=tuple(classes), names=names, counts=counts)


def make_labels(
    place: object,
    seen: Mapping[Label, int],
    wanted: Wanted,
    names: Mapping[int, str] | None = None,
    *,
    complete: bool = True,
) -> Labels:
    """Combines the labels of a source and the classes of a recipe.

    Args:
        place: name of the source in messages.
        seen: number of images by label; None, '' and -1 are no labels.
        wanted: names of classes in the order of their indices, compared with those of the source
            without case; or old and new names. Numbers without names are named by position.
        names: the source's names of its label numbers, if it has any.
        complete: whether each class must have images; False for one span of several.

    Raises:
        DataError: a name cannot be used.
        TooFewImages: there are fewer than two classes, or one has no images.
    """
    own = _own_names(seen, names or {})
    found = Counter(own[label] for label in own)
    notes: list[str] = []
    if wanted is None:
        new = dict(zip(found, found, strict=True))
    else:
        new = new_names(place, list(found), wanted, notes, complete=complete)
    by_label = {label: new[name] for label, name in own.items() if name in new}
    counts: Counter[str] = Counter()
    for label, name in by_label.items():
        counts[name] += seen.get(label, 0)
    if wanted is None:
        classes = tuple(sorted_names(name for name, number in counts.items() if number))
    else:
        given = wanted.values() if isinstance(wanted, Mapping) else wanted
        classes = tuple(dict.fromkeys(map(class_name, given)))
    require_names(place, classes)
    if complete:
        require_images(place, counts, classes)
    return Labels(classes, by_label, counts, (*notes, *similar_names(counts)))


def require_images(place: object, counts: Mapping[str, int], classes: Sequence[str]) -> None:
    """Raises TooFewImages if there are fewer than two classes, or one has no images."""
    empty = next((name for name in classes if not counts.get(name)), None)
    if empty is not None:
        found = sorted_names(name for name, number in counts.items() if number)
        close = difflib.get_close_matches(empty, set(found).difference(classes), n=1)
        hint = f'did you mean {close[0]!r}?' if close else 'add images, or correct data.classes'
        raise TooFewImages(
            f'class {empty!r} has no images in {place}, which has images of '
            f'{describe_classes(found)}; {hint}; to rename classes, give {{old name: new name}}'
        )
    if len(classes) < 2:
        raise TooFewImages(f'{place} has {describe_classes(classes)}; expected two or more')


def require_names(place: object, names: Iterable[str]) -> None:
    """Raises DataError if there are very many classes, or one has a name that cannot be used."""
    distinct = set(names)
    if len(distinct) > _MOST_CLASSES:
        raise DataError(
            f'{place} has more than {_MOST_CLASSES:,} classes; perhaps its labels are identifiers'
        )
    wrong = min((name for name in distinct if not is_class_name(name)), default=None)
    if wrong is not None:
        problem = 'control characters, no valid Unicode, or more than 255 bytes'
        problem = problem if wrong.strip() else 'no characters'
        raise DataError(f'{place} has the class name {wrong[:100]!a}, with {problem}; rename it')


def sorted_names(names: Iterable[str]) -> list[str]:
    """Class names in the default order: alphabetical; by value if all are numbers."""
    distinct = sorted(set(names))
    if all(map(_NUMBER.fullmatch, distinct)):
        distinct.sort(key=float)
    return distinct


def folded(name: str) -> str:
    """A class name as names are compared: without case and further spaces."""
    return ' '.join(class_name(name).split()).casefold()


def similar_names(counts: Mapping[str, int]) -> Iterable[str]:
    """Yields a note if class names differ only in case or spaces."""
    alike = defaultdict[str, list[str]](list)
    for name in sorted(name for name, number in counts.items() if number):
        alike[folded(name)].append(f'{name!r} ({counts[name]:,} images)')
    several = [', '.join(names) for names in alike.values() if len(names) > 1]
    if several:
        yield (
            f'class names differ only in case or spaces: {"; ".join(several[:5])}; to join them, '
            'list one of each pair in data.classes'
        )


def _own_names(seen: Mapping[Label, int], names: Mapping[int, str]) -> dict[Label, str]:
    """The source's own name of each label."""
    own: dict[Label, str] = {number: class_name(name) for number, name in names.items()}
    texts = {label: str(label) for label in seen if label not in own and label not in NO_LABELS}
    are_numbers = all(map(_NUMBER.fullmatch, texts.values()))
    for label, text in texts.items():
        own[label] = re.sub(r'\.0+$', '', text) if are_numbers else class_name(text)
    return own


def new_names(
    place: object,
    own: Collection[str],
    wanted: Sequence[str] | Mapping[str, str],
    notes: list[str],
    *,
    complete: bool = True,
) -> dict[str, str]:
    """The class name of each name of a source, or of all spans; see `make_labels`."""
    pairs = wanted if isinstance(wanted, Mapping) else dict(zip(wanted, wanted, strict=True))
    exact = {class_name(old): class_name(new) for old, new in pairs.items()}
    similar = {folded(old): new for old, new in exact.items()}
    found = {name: exact.get(name) or similar.get(folded(name)) for name in own}
    if any(found.values()) or not own:
        return {name: new or name for name, new in found.items()}
    positions = [{'false': 0, 'true': 1}.get(name.lower(), name) for name in own]
    if not all(str(each).isdecimal() for each in positions) or isinstance(wanted, Mapping):
        if complete:
            raise TooFewImages(
                f'{place} has {describe_classes(sorted_names(own))}, and data.classes lists none '
                'of them; to rename classes, give {old name: new name}'
            )
        return {name: name for name in own}
    numbers = [int(each) for each in positions]
    first = int(min(numbers) > 0 and max(numbers) == len(pairs))
    if first:
        notes.append(f'its labels are 1 to {len(pairs)}: 1 is {wanted[0]}')
    by_number = dict(enumerate(exact.values(), first))
    return {n: by_number[i] for n, i in zip(own, numbers, strict=True) if i in by_number}

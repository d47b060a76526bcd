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
_BOOLEANS = {'false': '0', 'true': '1'}


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
        is_known = label in self.names
        reason: RejectionReason = 'unknown class' if is_known else 'label outside the list'
        return BadImage(filename, reason, 'no label' if label in NO_LABELS else detail, contents)

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
    place: object, seen: Mapping[Label, int], wanted: Wanted, *, complete: bool = True
) -> Labels:
    """Combines the labels of a source and the classes of a recipe.

    Args:
        place: name of the source in messages.
        seen: number of images by label; None, '' and -1 are no labels.
        wanted: names of classes in the order of their indices, compared with those of the source
            without case; or old and new names. Numbers are named by position.
        complete: whether each class must have images; False for one span of several.

    Raises:
        DataError: a name cannot be used.
        TooFewImages: there are fewer than two classes, or one has no images.
    """
    texts = {label: str(label) for label in seen if label not in NO_LABELS}
    are_numbers = all(map(_NUMBER.fullmatch, texts.values()))
    own = {
        label: re.sub(r'\.0+$', '', text) if are_numbers else class_name(text)
        for label, text in texts.items()
    }
    notes: list[str] = []
    new = new_names(place, set(own.values()), wanted, notes, complete=complete)
    names = {label: new[name] for label, name in own.items() if name in new}
    counts: Counter[str] = Counter()
    for label, name in names.items():
        counts[name] += seen[label]
    given = wanted.values() if isinstance(wanted, Mapping) else wanted
    classes = tuple(dict.fromkeys(given or sorted_names(+counts)))
    _require_names(place, classes)
    if complete:
        require_images(place, counts, classes)
    return Labels(classes, names, counts, (*notes, *_similar_names(counts)))


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


def sorted_names(names: Iterable[str]) -> list[str]:
    """Class names in the default order: alphabetical; by value if all are numbers."""
    distinct = sorted(set(names))
    return sorted(distinct, key=float) if all(map(_NUMBER.fullmatch, distinct)) else distinct


def folded(name: str) -> str:
    """A class name as names are compared: without case and further spaces."""
    return ' '.join(class_name(name).split()).casefold()


def new_names(
    place: object,
    own: Collection[str],
    wanted: Wanted,
    notes: list[str],
    *,
    complete: bool = True,
) -> dict[str, str]:
    """The class name of each name of a source, or of all spans; see `make_labels`."""
    pairs = wanted if isinstance(wanted, Mapping) else {name: name for name in wanted or ()}
    similar = {folded(old): new for old, new in pairs.items()}
    new = {name: pairs.get(name) or similar.get(folded(name), name) for name in own}
    if not pairs or not own or any(folded(name) in similar for name in own):
        return new
    numbers = {name: _BOOLEANS.get(name.lower(), name) for name in own}
    if wanted is pairs or not all(map(str.isdecimal, numbers.values())):
        if complete:
            raise TooFewImages(
                f'{place} has {describe_classes(sorted_names(own))}, and data.classes lists none '
                'of them; to rename classes, give {old name: new name}'
            )
        return new
    positions = {name: int(number) for name, number in numbers.items()}
    first = int(min(positions.values()) > 0 and max(positions.values()) == len(pairs))
    by_number = dict(enumerate(pairs, first))
    if first:
        notes.append(f'its labels are 1 to {len(pairs)}: 1 is {by_number[1]}')
    return {name: by_number[n] for name, n in positions.items() if n in by_number}


def _require_names(place: object, names: Collection[str]) -> None:
    """Raises DataError if there are very many classes, or one has a name that cannot be used."""
    if len(names) > _MOST_CLASSES:
        raise DataError(
            f'{place} has more than {_MOST_CLASSES:,} classes; perhaps its labels are identifiers'
        )
    for name in names:
        if not is_class_name(name):
            problem = 'control characters, no valid Unicode, no characters, or over 255 bytes'
            raise DataError(f'{place} has the class name {name[:100]!a}, with {problem}; rename it')


def _similar_names(counts: Mapping[str, int]) -> Iterable[str]:
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

"""Maps the labels of a source, numbers or names, to class indices."""

import dataclasses
import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from common.errors import DataError

Label = int | float | str | None  # of a source: name of a folder, value of a column or a feature
NO_LABELS: tuple[Label, ...] = (None, '', '-1', -1, '-1.0')  # -1 in benchmarks' test parts
Wanted = Sequence[str] | Mapping[str, str] | None  # `data.classes`: names, or old and new names
_MOST_CLASSES = 10_000
_NAME_BYTES = 255  # as in file systems
_NUMBER = re.compile(r'([0-9]{1,9})(\.0+)?')  # pandas writes 1.0 in a column with missing values
_BOOLEANS = {'false': '0', 'true': '1'}


@dataclasses.dataclass(frozen=True)
class Labels:
    """The class of each label of a source, or of several."""

    classes: tuple[str, ...] = ()  # names in the order of the indices
    names: Mapping[Label, str] = dataclasses.field(default_factory=dict)  # also of other classes
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def _indices(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}

    def index(self, label: Label) -> int | None:
        """The class index of a label; None if its images are not trained."""
        return self._indices.get(self.names.get(label, ''))

    def count(self, seen: Mapping[Label, int]) -> Counter[str]:
        """The number of images of each class name, also of other classes."""
        counts: Counter[str] = Counter()
        for label in seen.keys() & self.names.keys():
            counts[self.names[label]] += seen[label]
        return counts


def make_labels(place: object, seen: Mapping[Label, int], wanted: Wanted) -> Labels:
    """Combines the labels of a source, or of several, and the classes of a recipe.

    Args:
        place: name of the source in messages.
        seen: number of images by label; None, '' and -1 are no labels.
        wanted: names of classes in the order of their indices, compared with those of the source
            without case; or old and new names. Numbers are named by position.

    Raises DataError if a name cannot be used.
    """
    texts = {label: str(label) for label in seen if label not in NO_LABELS}
    are_numbers = all(map(_NUMBER.fullmatch, texts.values()))
    own = {
        label: re.sub(r'\.0+$', '', text) if are_numbers else class_name(text)
        for label, text in texts.items()
    }
    notes: list[str] = []
    new = _new_names(set(own.values()), wanted, notes)
    names = {label: new[name] for label, name in own.items() if name in new}
    counts = Labels(names=names).count(seen)
    given = wanted.values() if isinstance(wanted, Mapping) else wanted
    classes = tuple(dict.fromkeys(given or sorted_names(+counts)))
    if len(classes) > _MOST_CLASSES:
        raise DataError(f'{place} has more than {_MOST_CLASSES:,} classes; are they identifiers?')
    if bad := [name for name in classes if not is_class_name(name)]:
        problem = f'with control characters, no valid Unicode, or not 1 to {_NAME_BYTES} bytes'
        raise DataError(f'{place} has the class name {bad[0][:100]!a}, {problem}; rename it')
    return Labels(classes, names, (*notes, *_similar_names(counts)))


def require_classes(
    place: object, classes: Sequence[str], counts: Mapping[str, int], *, complete: bool
) -> None:
    """Raises DataError if fewer than two classes have images, or a listed name may be wrong.

    That is one without images if there are images of other classes, or always if `complete`.
    """
    found = sorted_names(name for name, number in counts.items() if number)
    empty = next((name for name in classes if not counts.get(name)), None)
    if empty is not None and (complete or not {*found} <= {*classes}):
        raise DataError(
            f'class {empty!r} has no images in {place}, which has images of '
            f'{describe_classes(found)}; add images, or correct data.classes; to rename classes, '
            'give {old name: new name}'
        )
    if len(trained := [name for name in classes if counts.get(name)]) < 2:
        raise DataError(f'{place} has {describe_classes(trained)}; expected two or more')


def sorted_names(names: Iterable[str]) -> list[str]:
    """Class names in the default order: alphabetical; by value if all are numbers."""
    distinct = sorted(set(names))
    return sorted(distinct, key=float) if all(map(_NUMBER.fullmatch, distinct)) else distinct


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


def folded(name: str) -> str:
    """A class name as names are compared: without case and further spaces."""
    return ' '.join(class_name(name).split()).casefold()


def _new_names(own: Collection[str], wanted: Wanted, notes: list[str]) -> dict[str, str]:
    """The class name of each name of a source; see `make_labels`."""
    pairs = wanted if isinstance(wanted, Mapping) else {name: name for name in wanted or ()}
    similar = {folded(old): new for old, new in pairs.items()}
    new = {name: pairs.get(name) or similar.get(folded(name), name) for name in own}
    if not pairs or any(folded(name) in similar for name in own):
        return new
    numbers = {name: _BOOLEANS.get(name.lower(), name) for name in own}
    if wanted is pairs or not all(map(str.isdecimal, numbers.values())):
        return new
    positions = {name: int(number) for name, number in numbers.items()}
    first = int(min(positions.values(), default=0) > 0 and max(positions.values()) == len(pairs))
    by_number = dict(enumerate(pairs, first))
    if first:
        notes.append(f'its labels are 1 to {len(pairs)}: 1 is {by_number[1]}')
    return {name: by_number[n] for name, n in positions.items() if n in by_number}


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

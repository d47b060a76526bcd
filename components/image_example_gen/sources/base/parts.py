"""What the names of folders, files, splits and columns say: part, source and group of images.

A part is train, validation or test of a source that is already divided; `image/source` is the
folder of an image, a slicing feature of the evaluation with a limited number of values.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from common.errors import DataError
from common.strict_model import StrictModel
from components.image_example_gen.sources.base.labels import NO_LABELS, Label, folded

# The part of an image in a source that is already divided.
Part = Literal['train', 'train_and_eval', 'eval', 'eval_and_test', 'test']
Kind = Literal['train', 'validation', 'test']
_NAME = re.compile(
    r'(.*[-_. ])?((?P<train>train(ing)?)|(?P<test>test(ing)?)'
    r'|(?P<validation>val(id(at(e|ion))?)?|eval(uation)?|dev(elopment)?))'
    r'([-_ ]?(set|data|images?))?([-_ ]?\d+)?',  # such as `test1` of Kaggle, `train2017` of COCO
    re.IGNORECASE,
)
# Shard number and suffix of a file: `train-00000-of-00002.parquet` becomes `train`.
_SHARD_AND_SUFFIX = re.compile(
    r'(-\d+-of-\d+(-\w+)?|\.(parquet|tfrecords?|tfrec|csv|tsv|txt|gz))+$', re.IGNORECASE
)
_FLAG = re.compile('is[_ ](.*)', re.IGNORECASE)  # a column such as `is_valid`: true or false
_FALSE, _TRUE = ('false', '0', '0.0', 'no'), ('true', '1', '1.0', 'yes')
MOST = 20  # values of `image/source` per source of images
OTHERS = 'others'


def kind_of(name: str) -> Kind | None:
    """The part that a name is usual for, such as `Testing`, `pets_val` or `train-00000-of-2.gz`."""
    for each in reversed(name.split('/')):
        match = _NAME.fullmatch(_SHARD_AND_SUFFIX.sub('', each))
        for kind in ('train', 'validation', 'test'):
            if match and match[kind]:
                return kind
    return None


def part_of(column: str, value: str) -> str:
    """The part that a value of a column means, else the value; `is_valid` has true and false."""
    text = value.strip().lower()
    flag = _FLAG.fullmatch(column.strip())
    if flag and (kind := kind_of(flag[1])) in ('validation', 'test'):
        return kind if text in _TRUE else 'train' if text in _FALSE else value
    return kind_of(text) or value


def part_in(file: str, part: str) -> str:
    """The part of an image: that of `part_of`, else of its file or folder, as `Split-train`."""
    return part if kind_of(part) else kind_of(file.replace('Split-', '')) or part


def parts_of(where: str, names: Iterable[str]) -> dict[str, Part]:
    """The part that each name stands for, without the names that are usual for none.

    Empty if the names stand for one part only: such a source is not divided. With a part test,
    validation is the eval split; without one, the ingestion divides it into eval and test. With
    test alone, it divides the others into train and eval.

    Raises DataError if there is no train; `where` is for the message.
    """
    kinds = {name: kind for name in names if (kind := kind_of(name))}
    found = set(kinds.values())
    if len(found) < 2:
        return {}
    if 'train' not in found:
        raise DataError(f'{where} is divided into {", ".join(sorted(kinds))}, without train')
    parts: dict[Kind, Part] = {
        'train': 'train' if 'validation' in found else 'train_and_eval',
        'validation': 'eval' if 'test' in found else 'eval_and_test',
        'test': 'test',
    }
    return {name: parts[kind] for name, kind in kinds.items()}


def divide(
    where: str, seen: Mapping[tuple[str, Label], int]
) -> tuple[dict[str, Part | None], list[str]]:
    """The parts that are used, by their names, and notes; None: the source is not divided.

    A part without labels, or with none of those of train, is left out; so is what is in no part, if
    the others are parts, and what has another name, if some have that of a part. `seen` has the
    number of images by name of their part, '' for none, and label.

    Raises DataError if no image has a label, or as `parts_of`.
    """
    images, own = Counter[str](), defaultdict[str, set[str]](set)
    for (name, label), number in seen.items():
        images[name] += number
        own[name] |= set() if label in NO_LABELS else {folded(str(label))}
    trained = set().union(*(own[name] for name in own if kind_of(name) == 'train'))
    labelled = [name for name in images if own[name] & (trained or own[name])]
    parts = parts_of(where, labelled)
    named = [name for name in labelled if kind_of(name)]
    chosen = parts or ({*named, ''} if named else labelled)
    used = {name: parts.get(name) for name in labelled if name in chosen}
    if not used:
        raise DataError(f'{where} has no images with a label')
    notes = [
        f'{name or "other images"}: {images[name]:,} images '
        f'{"in no part" if name in labelled else "without labels"} are left out'
        for name in sorted(images.keys() - used.keys())
    ]
    names = ', '.join(sorted(filter(None, used)))[:200]
    if names and not named:
        notes.append(f'not divided: {names} are no names of train, validation or test')
    elif not parts and len(used) > 1:
        notes.append(f'not divided: some images are in {names}, others in no part')
    return used, notes


def limit_sources(images: Mapping[str, int]) -> dict[str, str]:
    """Maps each source, with its number of images, to its own name or to OTHERS; '' stays ''.

    The largest keep their names.
    """
    named = sorted(filter(None, images), key=lambda name: (-images[name], name))
    kept = named if len(named) <= MOST else named[: MOST - 1]
    return {name: name if name in kept or not name else OTHERS for name in images}


def _one_group(pattern: str) -> str:
    """Raises ValueError unless a regular expression is valid and has one pair of parentheses."""
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f'is not a regular expression: {error}') from None
    if groups != 1:
        raise ValueError(f"needs one pair of parentheses, as in '^([^_]+)_', and has {groups}")
    return pattern


Pattern = Annotated[str, Field(max_length=1000), AfterValidator(_one_group)]


class GroupConfig(StrictModel):
    """`data.group_by` of a recipe: exactly one of three ways to name the group of an image."""

    folder: int | None = Field(
        None,
        ge=1,
        description='folder, archive: level of a folder below the class folder, 1 is the first; '
        'the group is the path down to it',
    )
    pattern: Pattern | None = Field(
        None,
        description='regular expression for the file name without folders; the group is what its '
        'one pair of parentheses matches',
    )
    column: str | None = Field(
        None, min_length=1, description='csv, parquet: a column; tfrecord: a feature'
    )

    @model_validator(mode='after')
    def _is_one(self) -> 'GroupConfig':
        if len(self.keys) != 1:
            raise ValueError('needs exactly one of folder, pattern and column')
        return self

    @property
    def keys(self) -> list[str]:
        """The keys that are set: one."""
        return [key for key, value in self if value is not None]


def group_of_path(group_by: GroupConfig | None, path: Sequence[str]) -> str | None:
    """The group of a file, None without one; `path` is relative to its class folder."""
    if group_by is None or group_by.folder is None:
        return group_of_name(group_by, path[-1])
    folders = path[:-1][: group_by.folder]
    return '/'.join(folders) if len(folders) == group_by.folder else None


def group_of_name(group_by: GroupConfig | None, name: str) -> str | None:
    """The group by `pattern` of an image with a file name or path; None without one."""
    if group_by is None or group_by.pattern is None:
        return None
    match = re.search(group_by.pattern, PurePosixPath(name).name)
    return (match[1] or None) if match else None

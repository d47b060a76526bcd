"""Finds groups in the names of images, such as the frames of a film."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from components.image_example_gen.sources.base.parts import GroupConfig, Part, group_of_path

# Groups are evident if there are many, of several images each, and none has a large share.
_GROUPINGS = (GroupConfig(folder=1), GroupConfig(pattern=r'^(.+)[_.-]frame[_.-]?\d+'))
_FEWEST_GROUPS, _LARGEST_SHARE = 20, 0.1
_NUMBERED = r'^([^\W\d_]+\d+)[_.-].+\.'  # as in person12_3.jpeg
_FEWEST_SHARED, _FEWEST_REPEATED = 3, 20  # groups
_JUDGES = {'eval', 'eval_and_test', 'test'}


class Name(NamedTuple):
    """Where an image is from."""

    class_name: str
    part: Part | None
    path: tuple[str, ...]  # below the class folder


def evident_groups(names: Sequence[Name]) -> GroupConfig | None:
    """The groups that folders or names show, such as frames of a film; None if there are none."""
    for grouping in _GROUPINGS:
        groups = Counter(group_of_path(grouping, name.path) for name in names)
        if (
            None not in groups
            and len(groups) >= _FEWEST_GROUPS
            and len(names) >= 2 * len(groups)
            and max(groups.values()) <= _LARGEST_SHARE * len(names)
        ):
            return grouping
    return None


def group_hint(names: Sequence[Name]) -> str | None:
    """Proposes `data.group_by` for names such as person12_3.jpeg; None if there are none."""
    grouping = GroupConfig(pattern=_NUMBERED)
    groups: dict[str, list[Name]] = defaultdict(list)
    for name in names:
        if group := group_of_path(grouping, name.path):
            groups[group].append(name)
    classes = {each[0].class_name for each in groups.values()}
    if len(groups) < 2 * len(classes):  # the names are those of the classes
        return None
    repeated = [each for each in groups.values() if len(each) > 1]
    shared = [each for each in repeated if 0 < sum(n.part in _JUDGES for n in each) < len(each)]
    if len(shared) >= _FEWEST_SHARED:
        what, example = f'{len(shared):,} have images in train and in validation or test', shared
    elif len(repeated) >= _FEWEST_REPEATED and {name.part for name in names} == {None}:
        what, example = f'{len(repeated):,} have several images', repeated
    else:
        return None
    return (
        f'of the groups of names such as {example[0][0].path[-1]}, {what}; if a group is one '
        f"subject, add --set data.group_by.pattern='{_NUMBERED}'"
    )

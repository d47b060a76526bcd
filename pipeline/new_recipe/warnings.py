"""Warnings about images that a run accepts, and that still make a poor model."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from components.image_example_gen.sources.base.parts import GroupConfig, group_of_path
from pipeline.new_recipe.survey import Name, Survey

_FEW_IMAGES = 2  # of a class, which cannot be in all splits
_IMBALANCE = 30  # images of the largest class for one of the smallest
_SHOWN = 5  # names of classes in a warning
_NUMBERED = r'^([^\W\d_]+\d+)[_.-].+\.'  # as in person12_3.jpeg
_FEWEST_SHARED, _FEWEST_REPEATED = 3, 20  # groups
_JUDGES = {'eval', 'eval_and_test', 'test'}


def warnings(found: Survey) -> list[str]:
    """Formats the warnings, a line each."""
    lines = []
    few = {name: number for name, number in found.classes.items() if number <= _FEW_IMAGES}
    if few and found.is_exact:
        lines.append(
            f'{_named(few)}: too few images to train and to judge a class; add images, or list the '
            "other classes: --set data.classes='[...]'"
        )
    largest, *_, smallest = sorted(found.classes.values(), reverse=True)
    rare = {n: number for n, number in found.classes.items() if number * _IMBALANCE <= largest}
    if rare and smallest:
        lines.append(
            f'the largest class has {largest / smallest:.0f} times as many images as the smallest, '
            f'{_named(rare)}; for equal weights of the classes, set trainer.class_weights: balanced'
        )
    hint = None if found.data.group_by or found.group_by else group_hint(found.sample.names)
    return [*lines, hint] if hint else lines


def group_hint(names: Sequence[Name]) -> str | None:
    """Proposes `data.group_by` for names such as person12_3.jpeg; None if there are none."""
    grouping = GroupConfig(pattern=_NUMBERED)
    groups: dict[str, list[Name]] = defaultdict(list)
    for name in names:
        if group := group_of_path(grouping, name.path):
            groups[group].append(name)
    classes = Counter(name.class_name for each in groups.values() for name in each[:1])
    if not groups or len(groups) < 2 * len(classes):  # the names are those of the classes
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


def _named(classes: dict[str, int]) -> str:
    worst = sorted(classes.items(), key=lambda each: each[1])
    shown = ', '.join(f'{name} {number:,}' for name, number in worst[:_SHOWN])
    return shown + (f' and {len(worst) - _SHOWN:,} more classes' if len(worst) > _SHOWN else '')

"""Warnings about images that a run accepts, and that still make a poor model."""

from collections.abc import Mapping

from pipeline.new_recipe.groups import group_hint
from pipeline.new_recipe.survey import Survey

_FEW_IMAGES = 2  # of a class, which cannot be in all splits
_IMBALANCE = 30  # images of the largest class for one of the smallest
_SHOWN = 5  # names of classes in a warning


def warnings(found: Survey) -> list[str]:
    """Formats the warnings, a line each."""
    lines = []
    largest, *_, smallest = sorted(found.classes.values(), reverse=True)
    if few := {name: number for name, number in found.classes.items() if number <= _FEW_IMAGES}:
        lines.append(
            f'{_named(few)}: too few images to train and to judge a class; add images, or list the '
            "other classes: --set data.classes='[...]'"
        )
    rare = rare_classes(found.classes)
    if rare and smallest:
        lines.append(
            f'the largest class has {largest / smallest:.0f} times as many images as the smallest, '
            f'{_named(rare)}; the balanced accuracy decides; for equal weights of the classes, set '
            'trainer.class_weights: balanced'
        )
    if all(len(name) == 1 or name.isdecimal() for name in found.classes):
        lines.append(
            'the classes are digits or letters: if a mirror image shows none of its class, set '
            'trainer.augment.flip and trainer.flip_averaging to false'
        )
    if not (found.data.group_by or found.group_by) and (hint := group_hint(found.names)):
        lines.append(hint)
    return lines


def rare_classes(classes: Mapping[str, int]) -> dict[str, int]:
    """The classes with so few images, compared with the largest one, that they need weights."""
    largest = max(classes.values())
    return {name: number for name, number in classes.items() if number * _IMBALANCE <= largest}


def _named(classes: dict[str, int]) -> str:
    worst = sorted(classes.items(), key=lambda each: each[1])
    shown = ', '.join(f'{name} {number:,}' for name, number in worst[:_SHOWN])
    return shown + (f' and {len(worst) - _SHOWN:,} more classes' if len(worst) > _SHOWN else '')

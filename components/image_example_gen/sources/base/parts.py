"""Parts of a source that is already divided: train, validation and test, by their usual names."""

import re
from collections.abc import Iterable

from common.errors import DataError, TooFewImages
from components.image_example_gen.sources.base.source_protocol import Part

_NAMES = re.compile(
    r'((?P<train>train(ing)?)|(?P<test>test(ing)?)'
    r'|(?P<validation>val(id(at(e|ion))?)?|eval(uation)?|dev(elopment)?))([-_ ]?(set|data))?'
    r'([-_ ]?\d+)?',  # such as `test1` of Kaggle, `train2017` of COCO
    re.IGNORECASE,
)


def is_part(name: str) -> bool:
    """Whether a name is usual for a part, such as `train`, `Testing` or `val_set`."""
    return _NAMES.fullmatch(name) is not None


def parts_of(where: str, names: Iterable[str]) -> dict[str, Part]:
    """The part that each name stands for; `where` is for error messages.

    With a part test, validation is the eval split; without one, the digest of an image decides
    between eval and test. With test alone, it decides between train and eval for the others.

    Raises:
        DataError: a name is not usual, or two names stand for one part.
        TooFewImages: the parts are not train and another one, which may still arrive.
    """
    names = sorted(names)
    kinds: dict[str, str] = {}
    for name in names:
        match = _NAMES.fullmatch(name)
        kind = next((key for key, text in match.groupdict().items() if text), '') if match else ''
        if kind and kind in kinds:
            raise DataError(
                f'{where} is divided into {", ".join(names)}, where {kinds[kind]} and {name} are '
                'the same part; join them'
            )
        kinds[kind] = name
    if '' in kinds or 'train' not in kinds or len(kinds) < 2:
        error = DataError if '' in kinds else TooFewImages
        raise error(
            f'{where} is divided into {", ".join(names)}; expected only train, and validation or '
            'test or both'
        )
    parts: dict[str, Part] = {
        kinds['train']: 'train' if 'validation' in kinds else 'train_and_eval'
    }
    if 'validation' in kinds:
        parts[kinds['validation']] = 'eval' if 'test' in kinds else 'eval_and_test'
    if 'test' in kinds:
        parts[kinds['test']] = 'test'
    return parts

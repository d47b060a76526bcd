"""What the names of folders, files, splits and columns say: the part of images, and their source.

A part is train, validation or test of a source that is already divided; `image/source` is the
folder or file of an image, a slicing feature of the evaluation with a limited number of values.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from common.errors import TooFewImages
from components.image_example_gen.sources.base.source_protocol import Part

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
_FLAGS: dict[str, tuple[Kind, Kind]] = {  # columns, and what false and true mean
    **dict.fromkeys(('is_valid', 'is_val', 'is_validation'), ('train', 'validation')),
    'is_test': ('train', 'test'),
}
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


def is_part(name: str) -> bool:
    """Whether a name is usual for a part."""
    return kind_of(name) is not None


def kind_of_value(column: str, value: object) -> Kind | None:
    """The part that a value of a column means; a column `is_valid` has true and false."""
    text = str(value).strip().lower()
    flags = _FLAGS.get(column.strip().lower().replace(' ', '_'))
    if flags:
        return flags[text in _TRUE] if text in _TRUE + _FALSE else None
    return kind_of(text)


def parts_of(where: str, names: Iterable[str]) -> dict[str, Part]:
    """The part that each name stands for, without the names that are usual for none.

    Empty if the names stand for one part only: such a source is not divided. With a part test,
    validation is the eval split; without one, the ingestion divides it into eval and test. With
    test alone, it divides the others into train and eval.

    Raises TooFewImages if there is no train, which may still arrive; `where` is for the message.
    """
    kinds = {name: kind for name in names if (kind := kind_of(name))}
    found = set(kinds.values())
    if len(found) < 2:
        return {}
    if 'train' not in found:
        raise TooFewImages(f'{where} is divided into {", ".join(sorted(kinds))}, without train')
    parts: dict[Kind, Part] = {
        'train': 'train' if 'validation' in found else 'train_and_eval',
        'validation': 'eval' if 'test' in found else 'eval_and_test',
        'test': 'test',
    }
    return {name: parts[kind] for name, kind in kinds.items()}


def sources_of_files(images: Iterable[tuple[str, int]]) -> dict[str, str]:
    """The `image/source` of each file, from pairs of file name and number of images.

    The shards of a sharded file share one.
    """
    sizes: Counter[str] = Counter()
    names = {}
    for file, number in images:
        names[file] = _SHARD_AND_SUFFIX.sub('', file)
        sizes[names[file]] += number
    limited = limit_sources(sizes)
    return {file: limited[name] for file, name in names.items()}


def limit_sources(images: Mapping[str, int]) -> dict[str, str]:
    """Maps each source, with its number of images, to its own name or to OTHERS; '' stays ''.

    The largest keep their names.
    """
    named = sorted(filter(None, images), key=lambda name: (-images[name], name))
    kept = named if len(named) <= MOST else named[: MOST - 1]
    return {name: name if name in kept or not name else OTHERS for name in images}

"""What `image/source` of a record says: the folder or the file that an image came from.

A test split is sliced by it, so there are few: the largest have their names, the rest is one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from components.image_example_gen.sources.base.source_protocol import BadImage, LabelledImage

MOST = 20  # of the images that are ingested together
OTHERS = 'others'
# What tells files of one set apart, and what they are: `train-00000-of-00002.parquet` is `train`.
_NOT_NAMED = re.compile(r'(-\d+-of-\d+)?(\.(parquet|tfrecords?|tfrec))?(\.gz)?$', re.IGNORECASE)


def of_files(images: Iterable[tuple[str, int]]) -> dict[str, str]:
    """The source of the images in each file of many; all files of a numbered set are one.

    Args:
        images: name of the file, and how many are in it or in a part of it.
    """
    sets: Counter[str] = Counter()
    names = {}
    for file, number in images:
        names[file] = _NOT_NAMED.sub('', file, count=1)
        sets[names[file]] += number
    called = bounded(sets)
    return {file: called[name] for file, name in names.items()}


def bounded(images: Mapping[str, int]) -> dict[str, str]:
    """What each source is called: its own name, or OTHERS.

    Args:
        images: how many there are of each; '' stands for none, and stays.
    """
    named = sorted(filter(None, images), key=lambda name: (-images[name], name))
    kept = named if len(named) <= MOST else named[: MOST - 1]
    return {name: name if name in kept or not name else OTHERS for name in images}


def named(image: LabelledImage | BadImage, source: str) -> LabelledImage | BadImage:
    """The same with its source, if it can be used."""
    return image if isinstance(image, BadImage) else image._replace(source=source)

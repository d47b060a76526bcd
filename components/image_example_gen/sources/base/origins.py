"""Values of `image/source`: the folder or file of an image, a slicing feature of the evaluation.

The number of values is limited: the largest sources keep their names, the others share one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

MOST = 20  # values per source of images
OTHERS = 'others'
# Shard number and suffix of a file name: `train-00000-of-00002.parquet` becomes `train`.
_SHARD_AND_SUFFIX = re.compile(
    r'(-\d+-of-\d+)?(\.(parquet|tfrecords?|tfrec))?(\.gz)?$', re.IGNORECASE
)


def sources_of_files(images: Iterable[tuple[str, int]]) -> dict[str, str]:
    """The `image/source` of each file, from pairs of file name and number of images.

    The shards of a sharded file share one.
    """
    sizes: Counter[str] = Counter()
    names = {}
    for file, number in images:
        names[file] = _SHARD_AND_SUFFIX.sub('', file, count=1)
        sizes[names[file]] += number
    limited = limit_sources(sizes)
    return {file: limited[name] for file, name in names.items()}


def limit_sources(images: Mapping[str, int]) -> dict[str, str]:
    """Maps each source, with its number of images, to its own name or to OTHERS; '' stays ''."""
    named = sorted(filter(None, images), key=lambda name: (-images[name], name))
    kept = named if len(named) <= MOST else named[: MOST - 1]
    return {name: name if name in kept or not name else OTHERS for name in images}

"""Makes entries of an index."""

import numpy as np

from components.image_example_gen.ingestion.assignment import SplitAssignment
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.splits import PARTS, boundaries
from components.image_example_gen.sources.base.data_config import SplitConfig

TRAIN, EVAL, TEST, NEAR = 0, 1, 2, 40
NONE = np.empty(0, IMAGE)
PICTURES = np.random.default_rng(7).integers(0, 256, (300, 32), dtype=np.uint8)
_POSITIONS = {TRAIN: 0.3, EVAL: 0.7, TEST: 0.9}


def image(number, changed_bits=0, at=TEST, *, digest=0, label=0, split=TEST, part=None, group=0):
    """The entry of a picture, with the first bits of its perceptual hash flipped.

    `at` is a position, or the split of one; `split` is that of an image that is already written.
    """
    bits = np.unpackbits(PICTURES[number])
    bits[:changed_bits] ^= 1
    words = int(_POSITIONS.get(at, at) * 2**64), digest or number * 1000 + changed_bits + 1
    sha256 = np.array([*words, 0, 0], '>u8').view('u1')
    return np.array([(sha256, np.packbits(bits), label, split, PARTS.index(part), group)], IMAGE)


# Images of the same class that leave each new one the split of its position.
OTHERS = np.repeat([image(299, digest=2**60, split=split) for split in range(3)], [600, 200, 200])
OTHERS['sha256'][:, -8:] = np.arange(1000, dtype='>u8').view('u1').reshape(-1, 8)
OTHERS['perceptual'] = 0


def assign(*new, spans=(), earlier=(), near=NEAR, others=OTHERS):
    """Assigns new images next to many others of their class."""
    limits = boundaries(SplitConfig())
    spans, earlier = np.concatenate([others, *spans]), np.concatenate([NONE, *earlier])
    return SplitAssignment(np.concatenate(new), spans, earlier, near, limits)


def splits_of(*new, **keys):
    return assign(*new, **keys).splits.tolist()

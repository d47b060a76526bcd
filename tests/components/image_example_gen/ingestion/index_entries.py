"""Makes entries of an index."""

import numpy as np

from components.image_example_gen.ingestion.assignment import EXAMINED, SplitAssignment
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.splits import PARTS, boundaries
from components.image_example_gen.sources.base.data_config import SplitConfig

TRAIN, EVAL, TEST, NEAR = 0, 1, 2, 40
NONE = np.empty(0, IMAGE)
PICTURES = np.random.default_rng(7).integers(0, 256, (300, 32), dtype=np.uint8)
_POSITIONS = {TRAIN: 0.3, EVAL: 0.7, TEST: 0.9}


def image(number, changed_bits=0, digest=None, label=0, split=TEST, part=None, group=0):
    """The entry of a picture, with the first bits of its perceptual hash flipped.

    Its position is in `split`, or that is its given split.
    """
    bits = np.unpackbits(PICTURES[number])
    bits[:changed_bits] ^= 1
    version = digest if digest is not None else number * 1000 + changed_bits + 1
    sha256 = np.frombuffer(version.to_bytes(8, 'big') + bytes(24), np.uint8)
    part = PARTS.index(part)
    position = _POSITIONS[split]
    return np.array([(sha256, np.packbits(bits), label, split, part, group, position)], EXAMINED)


def given(images):
    """The entries of images that are already written."""
    return np.concatenate([NONE, *(each[list(IMAGE.names)].astype(IMAGE) for each in images)])


# Images of the same class that leave each new one the split of its position.
OTHERS = np.repeat(given([image(299, digest=2**60, split=split) for split in range(3)]), [3, 1, 1])
OTHERS = np.repeat(OTHERS, 200)
OTHERS['sha256'][:, -8:] = np.arange(1000, dtype='>u8').view('u1').reshape(-1, 8)
OTHERS['perceptual'] = 0


def assign(*new, spans=(), earlier=(), near=NEAR, others=OTHERS):
    """Assigns new images next to many others of their class."""
    spans = np.concatenate([others, given(spans)])
    limits = boundaries(SplitConfig())
    return SplitAssignment(np.concatenate(new), spans, given(earlier), near, limits)


def splits_of(*new, **keys):
    return assign(*new, **keys).splits.tolist()

"""Ingestion neither fails nor loses images, for arbitrary bytes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import apache_beam as beam
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_images import CLASSES, MemorySource, Written, encoded, labelled, picture, value

from common import features
from components.image_example_gen.ingestion.quarantine import read_quarantined
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.sources.base.config import DataConfig

_CONFIG = DataConfig.model_validate({'checks': {'max_bad_share': 1, 'max_megapixels': 1}})
_SMALL = 32, 24  # so that a failure can print a list of them
_VALID = [
    *(encoded(picture(n, _SMALL), kind) for n, kind in enumerate(('JPEG', 'PNG', 'GIF', 'WEBP'))),
    encoded(picture(4, _SMALL).convert('CMYK')),
    encoded(picture(5, _SMALL), 'TIFF'),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A valid image, with up to three bytes changed, maybe truncated."""
    contents = bytearray(draw(st.sampled_from(_VALID)))
    places = st.integers(0, len(contents) - 1) | st.integers(0, 60)
    for place in draw(st.lists(places, max_size=3)):
        contents[place] = draw(st.integers(0, 255))
    return bytes(contents[: draw(st.just(len(contents)) | st.integers(0, len(contents)))])


_IMAGES = st.lists(
    st.tuples(st.binary(max_size=60) | mutations() | mutations(), st.integers(0, 1)),
    min_size=30,
    max_size=60,
)


# Without shrinking: each attempt starts Beam.
@settings(max_examples=3, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(_IMAGES)
def test_every_image_is_used_quarantined_or_a_duplicate(drawn: list[tuple[bytes, int]]) -> None:
    images = [labelled(each, f'{n}.jpg', label) for n, (each, label) in enumerate(drawn)]
    source = MemorySource(images, per_shard=10)
    with TemporaryDirectory() as folder:
        targets = Path(folder, 'records'), Path(folder, 'quarantine')
        ingested = ingest_span(source, _CONFIG, (), *targets, beam.Pipeline)
        examples = Written(*targets, ingested).examples()
        quarantined = [line['source'] for line in read_quarantined(targets[1])]

    used = [value(each, features.FILENAME).decode() for each in examples]
    assert len({*used, *quarantined}) == len(used) + len(quarantined)
    assert ingested.tally.seen == len(images)
    assert len(used) + len(quarantined) + ingested.tally.duplicates == len(images)
    for example in examples:
        number = int(value(example, features.FILENAME).decode().removesuffix('.jpg'))
        assert value(example, features.CLASS_NAME).decode() == CLASSES[images[number].label]
        contents = value(example, features.IMAGE_BYTES)
        pixels = tf.io.decode_image(contents, channels=3, expand_animations=False)
        size = value(example, features.HEIGHT), value(example, features.WIDTH), 3
        assert pixels.shape == size

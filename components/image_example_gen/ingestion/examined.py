"""Examines the images of a source; the refused ones become bad images. Imports no TensorFlow."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import GoodImage, examine_all
from components.image_example_gen.sources.base.source_protocol import BadImage


class _Named(Protocol):
    @property
    def contents(self) -> bytes: ...
    @property
    def filename(self) -> str: ...


_Image = TypeVar('_Image', bound=_Named)


def examine_images(
    images: Iterable[_Image | BadImage], config: CheckConfig
) -> Iterator[tuple[_Image, GoodImage] | BadImage]:
    """Yields the outcome of each image, in order; see `examine_all` for memory and errors."""
    pairs = ((each, None if isinstance(each, BadImage) else each.contents) for each in images)
    for image, outcome in examine_all(pairs, config):
        if isinstance(outcome, GoodImage) and not isinstance(image, BadImage):
            yield image, outcome
        elif outcome is None or isinstance(outcome, GoodImage):
            assert isinstance(image, BadImage)
            yield image
        else:
            yield BadImage(image.filename, outcome.reason, outcome.detail, image.contents)
        del image, outcome  # they may be large

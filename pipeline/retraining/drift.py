"""How far new images are from those that the live model has seen, in a few plain numbers."""

import dataclasses
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import PIL.Image
import PIL.ImageStat

from components.image_example_gen.sources.base.source_protocol import (
    LabelledImage,
    Source,
    every_image,
)

_SAMPLE = 100  # images of a span that are decoded, at an eighth of their size


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a span looks like.

    Attributes:
        count: number of images.
        shares: of the classes, by name; together 1.
        brightness: mean of the sampled images, 0 to 1; None if none could be decoded.
        size: mean of the square root of width times height, in pixels; None likewise.
    """

    count: int
    shares: Mapping[str, float]
    brightness: float | None
    size: float | None


def summarise(source: Source) -> Summary:
    """Looks at a span: at all labels, and at the pixels of some images spread over it."""
    classes: Counter[str] = Counter()
    looked_at = list(_looks(_counted(source, classes), max(1, source.count // _SAMPLE)))
    total = sum(classes.values())
    return Summary(
        total,
        {name: classes[name] / max(1, total) for name in source.classes},
        _mean([brightness for brightness, _ in looked_at]),
        _mean([size for _, size in looked_at]),
    )


def pooled(summaries: Sequence[Summary]) -> Summary:
    """Several spans as one, each with the weight of its images."""
    total = sum(each.count for each in summaries)
    names = sorted({name for each in summaries for name in each.shares})

    def mean(values: Iterable[float | None]) -> float | None:
        known = [
            (value, each.count)
            for value, each in zip(values, summaries, strict=True)
            if value is not None
        ]
        weight = sum(count for _, count in known)
        return sum(value * count for value, count in known) / weight if weight else None

    shares = {name: mean(each.shares.get(name, 0.0) for each in summaries) for name in names}
    return Summary(
        total,
        {name: share for name, share in shares.items() if share is not None},
        mean(each.brightness for each in summaries),
        mean(each.size for each in summaries),
    )


def moves(new: Summary, before: Summary) -> dict[str, float]:
    """How far each measure moved; one that is not known in either is left out.

    The class balance moves by the largest change of a share (the L-infinity distance, as TFDV's
    comparators measure it), the brightness by its difference, the size by its share.
    """
    names = {*new.shares, *before.shares}
    found = {
        'class balance': max(
            (abs(new.shares.get(name, 0) - before.shares.get(name, 0)) for name in names), default=0
        )
    }
    if new.brightness is not None and before.brightness is not None:
        found['brightness'] = abs(new.brightness - before.brightness)
    if new.size is not None and before.size:
        found['size'] = abs(new.size - before.size) / before.size
    return found


def drift(number: int, new: Summary, before: Summary, limit: float) -> tuple[str, ...]:
    """A clause for each measure of a span that moved further than the limit."""
    return tuple(
        f'{measure} of span {number} moved by {moved:.2f} (limit {limit:g})'
        for measure, moved in moves(new, before).items()
        if moved > limit
    )


def _counted(source: Source, classes: Counter[str]) -> Iterator[LabelledImage]:
    """Without the bad ones, which the run names."""
    for image in every_image(source):
        if isinstance(image, LabelledImage):
            classes[source.classes[image.label]] += 1
            yield image


def _looks(images: Iterable[LabelledImage], step: int) -> Iterator[tuple[float, float]]:
    """Brightness and size of every `step`-th image; some sources give one class after the other."""
    for number, image in enumerate(images):
        if number % step:
            continue
        try:
            with PIL.Image.open(io.BytesIO(image.contents)) as picture:
                width, height = picture.size
                picture.draft('L', (max(1, width // 8), max(1, height // 8)))
                brightness = PIL.ImageStat.Stat(picture.convert('L')).mean[0] / 255
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
            continue  # the run names it; this is only a look
        yield brightness, math.sqrt(width * height)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

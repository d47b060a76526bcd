"""Looks at images: number, classes, sizes, formats and unreadable ones. Imports no TensorFlow."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

import PIL.Image
from components.image_example_gen.inspection.headers import Header, open_image, read_header
from components.image_example_gen.inspection.heif import decode_heif

from common.errors import Rejected
from components.image_example_gen.sources.base.data_config import DataConfig, SplitConfig
from components.image_example_gen.sources.base.groups import GroupConfig, group_of_path
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    Part,
    class_name,
)
from components.image_example_gen.sources.spans import Span, open_window, span_numbers

_MOST_IMAGES = 2000  # about; they are read whole, one after the other
_SECONDS = 8.0  # for reading them, as object storage may be slow
_DECODING_SECONDS = 2.0
_MOST_PIXELS = 25e6  # of an image that is decoded here; ingestion decodes larger ones too
_EXAMPLES = 3  # unreadable images that are named
# Groups are evident if there are many, of several images each, and none has a large share.
_FEWEST_GROUPS, _LARGEST_SHARE = 20, 0.1
_GROUPINGS = (GroupConfig(folder=1), GroupConfig(pattern=r'^(.+)[_.-]frame[_.-]?\d+'))


@dataclass
class Sample:
    """What is counted while images are read."""

    read: int = 0
    decoded: int = 0
    decoding_seconds: float = 0.0
    classes: Counter[str] = field(default_factory=Counter)
    parts: Counter[Part | None] = field(default_factory=Counter)  # of a source that is divided
    formats: Counter[str] = field(default_factory=Counter)
    shorter_sides: list[int] = field(default_factory=list)
    longer_sides: list[int] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)  # by reason
    examples: list[str] = field(default_factory=list)  # unreadable images, and why
    paths: list[tuple[str, ...]] = field(default_factory=list)  # below the class folder


@dataclass(frozen=True)
class Survey:
    """The images of a source."""

    data: DataConfig
    layout: str  # such as `a folder per class`
    count: int  # files
    spans: tuple[int, ...]  # numbers; empty without spans
    classes: Mapping[str, int]  # images of each class, in label order; estimated from a sample
    is_exact: bool  # whether `classes` was counted
    group_by: GroupConfig | None  # evident groups
    sample: Sample

    @property
    def median_side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(statistics.median(self.sample.shorter_sides))

    @property
    def seconds_per_image(self) -> float:
        """Time to decode an image, on one core of this machine."""
        return self.sample.decoding_seconds / max(self.sample.decoded, 1)

    def split(self, splits: SplitConfig) -> dict[str, int]:
        """Expected number of images in train, eval and test with a SplitConfig."""
        by_hash = {name: getattr(splits, name) for name in ('train', 'eval', 'test')}
        of_validation = splits.test_share_of_validation
        shares: dict[Part | None, dict[str, float]] = {
            None: by_hash,
            'train': {'train': 1},
            'train_and_eval': {**by_hash, 'test': 0},
            'eval': {'eval': 1},
            'eval_and_test': {'eval': 1 - of_validation, 'test': of_validation},
            'test': {'test': 1},
        }
        used = sum(self.classes.values()) / max(sum(self.sample.parts.values()), 1)
        expected = dict.fromkeys(by_hash, 0.0)
        for part, number in self.sample.parts.items():
            weights = shares[part]
            for name, weight in weights.items():
                expected[name] += used * number * weight / sum(weights.values())
        return {name: round(number) for name, number in expected.items()}


def survey(data: DataConfig, layout: str) -> Survey:
    """Opens the images of all spans, reads a sample, and decodes a part of it.

    `layout` describes how the images are laid out.

    Raises:
        DataError: the images cannot be used.
    """
    numbers = tuple(sorted(span_numbers(data))) if data.may_have_spans else ()
    data = data.model_copy(update={'window': max(len(numbers), 1)})
    spans = open_window(data)
    sample = Sample()
    for image in _sampled(spans):
        _add(image, spans[0].source.classes, data, sample)
    names = spans[0].source.classes
    counts, is_exact = _counts(spans, sample)
    return Survey(
        data=data,
        layout=layout,
        count=sum(span.source.count for span in spans),
        spans=numbers,
        classes={name: counts[name] for name in names},
        is_exact=is_exact,
        group_by=evident_groups(sample.paths) if data.source in ('folder', 'archive') else None,
        sample=sample,
    )


def evident_groups(paths: list[tuple[str, ...]]) -> GroupConfig | None:
    """The groups that folders or names show, such as frames of a film; None if there are none."""
    for grouping in _GROUPINGS:
        groups = Counter(group_of_path(grouping, path) for path in paths)
        is_complete = not groups.pop(None, 0)
        largest = max(groups.values(), default=0)
        if (
            is_complete
            and len(groups) >= _FEWEST_GROUPS
            and len(paths) >= 2 * len(groups)
            and largest <= _LARGEST_SHARE * len(paths)
        ):
            return grouping
    return None


def _sampled(spans: tuple[Span, ...]) -> Iterator[LabelledImage | BadImage]:
    """Yields the images of evenly spaced shards; a shard of folders has images of all classes."""
    shards = [shard for span in spans for shard in span.source.shards()]
    total, end = sum(span.source.count for span in spans), time.monotonic() + _SECONDS
    for shard in shards[:: max(round(total / _MOST_IMAGES), 1)]:
        for image in shard.images():
            yield image
            if time.monotonic() > end:
                return


def _add(
    image: LabelledImage | BadImage, classes: tuple[str, ...], data: DataConfig, sample: Sample
) -> None:
    sample.read += 1
    try:
        if isinstance(image, BadImage):
            raise Rejected(image.reason, image.detail)
        header = read_header(image.contents)
        if min(header.width, header.height) < data.checks.min_side:
            raise Rejected('too small', f'it has {header.width} by {header.height} pixels')
        if sample.decoding_seconds < _DECODING_SECONDS and _is_quick(header):
            start = time.perf_counter()
            _decode(image.contents, header)
            sample.decoding_seconds += time.perf_counter() - start
            sample.decoded += 1
    except Exception as error:  # decoders raise nearly any exception for damaged files
        rejected = error if isinstance(error, Rejected) else Rejected('damaged', str(error))
        sample.bad[rejected.reason] += 1
        if len(sample.examples) < _EXAMPLES:
            sample.examples.append(f'{image.filename}: {rejected.detail or rejected.reason}')
        return
    name = classes[image.label]
    sample.classes[name] += 1
    sample.parts[image.part] += 1
    sample.formats[header.format] += 1
    sample.shorter_sides.append(min(header.width, header.height))
    sample.longer_sides.append(max(header.width, header.height))
    parts = PurePath(image.filename).parts
    folders = [class_name(part) for part in parts]
    sample.paths.append(parts[folders.index(name) + 1 :] if name in folders else parts[-1:])


def _is_quick(header: Header) -> bool:
    return header.width * header.height <= _MOST_PIXELS and header.frames == 1 and header.scans < 20


def _decode(contents: bytes, header: Header) -> None:
    """Decodes all data of an image as ingestion does, a JPEG at an eighth of its size."""
    if header.format == 'AVIF' or header.format == 'HEIC':
        decode_heif(contents, header.format, (header.width, header.height))
        return
    with open_image(contents, header.format) as image:
        image.draft('RGB', (header.width // 8, header.height // 8))
        image.load()
        image.resize((32, 32), PIL.Image.Resampling.NEAREST)


def _counts(spans: tuple[Span, ...], sample: Sample) -> tuple[Counter[str], bool]:
    """Images of each class, and whether they were counted, not estimated from the sample."""
    listed = [getattr(span.source, 'counts', None) for span in spans]
    if all(each is not None for each in listed):
        return sum((Counter(each) for each in listed), Counter()), True
    total = sum(span.source.count for span in spans)
    if sample.read >= total:
        return sample.classes, True
    factor = total / max(sample.read, 1)
    return Counter({name: round(number * factor) for name, number in sample.classes.items()}), False

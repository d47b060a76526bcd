"""Surveys images: number, classes, sizes, formats, unreadable ones. Checks them as a run does."""

import io
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

import PIL.Image

from common.errors import Rejected
from components.image_example_gen.inspection.examine import examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.data_config import DataConfig, SplitConfig
from components.image_example_gen.sources.base.labels import class_name
from components.image_example_gen.sources.base.parts import GroupConfig, Part, group_of_path
from components.image_example_gen.sources.base.source import BadImage, LabelledImage
from components.image_example_gen.sources.spans import Span, open_window, span_numbers

_MOST_IMAGES = 2000  # about
_SECONDS = 8.0  # for reading and checking them
_EXAMPLES = 3  # unreadable images that are named
_PICTURES, _SIDE = 8, 80  # kept of each class, and their longer side
# By suffix, where it is not the name of the format.
_FORMATS = dict.fromkeys(('JPG', 'JPE', 'JFIF'), 'JPEG') | {
    'TIF': 'TIFF',
    'HEIF': 'HEIC',
    'HIF': 'HEIC',
}
_MOST_PIXELS = 25e6  # of an image that is kept
# Groups are evident if there are many, of several images each, and none has a large share.
_FEWEST_GROUPS, _LARGEST_SHARE = 20, 0.1
_GROUPINGS = (GroupConfig(folder=1), GroupConfig(pattern=r'^(.+)[_.-]frame[_.-]?\d+'))


class Name(NamedTuple):
    """Where an image is from."""

    class_name: str
    part: Part | None
    path: tuple[str, ...]  # below the class folder


@dataclass
class Sample:
    """What is counted while images are checked."""

    read: int = 0
    start: float = 0.0  # of `time.monotonic`, at the first outcome, as the workers take seconds
    classes: Counter[str] = field(default_factory=Counter)
    parts: Counter[Part | None] = field(default_factory=Counter)  # of a source that is divided
    formats: Counter[str] = field(default_factory=Counter)
    sides: list[tuple[int, int]] = field(default_factory=list)  # shorter and longer
    bad: Counter[str] = field(default_factory=Counter)  # by reason
    examples: list[str] = field(default_factory=list)  # unreadable images, and why
    names: list[Name] = field(default_factory=list)
    pictures: dict[str, list[PIL.Image.Image]] = field(default_factory=lambda: defaultdict(list))


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
    notes: tuple[str, ...]  # of the source: what it took as classes, and left out
    sample: Sample

    @property
    def median_side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(statistics.median(shorter for shorter, _ in self.sample.sides))

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


def survey(data: DataConfig, layout: str, *, all_spans: bool = True) -> Survey:
    """Opens the images, of `all_spans` or of the window, and checks a sample of them.

    `layout` describes how the images are laid out.

    Raises:
        DataError: the images cannot be used.
    """
    numbers = tuple(sorted(span_numbers(data))) if data.may_have_spans else ()
    if all_spans:
        data = data.model_copy(update={'window': max(len(numbers), 1)})
    spans = open_window(data)
    names, sample = spans[0].source.classes, Sample()
    for image, outcome in examine_all(_sampled(spans, sample), data.checks):
        sample.start = sample.start or time.monotonic()
        _add(image, outcome, names, sample)
    counts, is_exact = _counts(spans, sample)
    return Survey(
        data=data,
        layout=layout,
        count=sum(span.source.count for span in spans),
        spans=numbers,
        classes={name: counts[name] for name in names},
        is_exact=is_exact,
        group_by=evident_groups([name.path for name in sample.names])
        if data.source in ('folder', 'archive') and data.group_by is None
        else None,
        notes=tuple(dict.fromkeys(n for s in spans for n in s.source.notes)),
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


def _sampled(
    spans: tuple[Span, ...], sample: Sample
) -> Iterator[tuple[LabelledImage | BadImage, bytes | None]]:
    """Yields the images of evenly spaced shards, with their contents.

    A shard of folders has images of all classes.
    """
    shards = [shard for span in spans for shard in span.source.shards()]
    total = sum(span.source.count for span in spans)
    for shard in shards[:: max(round(total / _MOST_IMAGES), 1)]:
        for image in shard.images():
            yield image, image.contents if isinstance(image, LabelledImage) else None
            if sample.start and time.monotonic() > sample.start + _SECONDS:
                return


def _add(
    image: LabelledImage | BadImage,
    outcome: GoodImage | Rejected | None,
    classes: tuple[str, ...],
    sample: Sample,
) -> None:
    sample.read += 1
    bad = image if isinstance(image, BadImage) else outcome
    if not isinstance(image, LabelledImage) or not isinstance(outcome, GoodImage):
        assert isinstance(bad, BadImage | Rejected)
        sample.bad[bad.reason] += 1
        if len(sample.examples) < _EXAMPLES:
            sample.examples.append(f'{image.filename}: {bad.detail or bad.reason}')
        return
    name, path = classes[image.label], PurePath(image.filename)
    folders = [class_name(part) for part in path.parts]
    below = path.parts[folders.index(name) + 1 :] if name in folders else path.parts[-1:]
    sample.names.append(Name(name, image.part, below))
    sample.classes[name] += 1
    sample.parts[image.part] += 1
    suffix = path.suffix[1:].upper() or 'other'
    known = _FORMATS.get(suffix, suffix)
    is_kept = outcome.contents == image.contents  # else converted to PNG or JPEG
    sample.formats[outcome.format.upper() if is_kept else known] += 1
    sample.sides.append((min(outcome.width, outcome.height), max(outcome.width, outcome.height)))
    if len(sample.pictures[name]) < _PICTURES and outcome.width * outcome.height <= _MOST_PIXELS:
        sample.pictures[name].append(_thumbnail(outcome.contents))


def _thumbnail(contents: bytes) -> PIL.Image.Image:
    with PIL.Image.open(io.BytesIO(contents)) as image:
        image.thumbnail((_SIDE, _SIDE))
        return image.convert('RGB')


def _counts(spans: tuple[Span, ...], sample: Sample) -> tuple[Counter[str], bool]:
    """Images of each class, and whether they were counted, not estimated from the sample."""
    listed = [span.source.counts for span in spans if span.source.counts is not None]
    if len(listed) == len(spans):
        return sum(listed, Counter()), True
    total = sum(span.source.count for span in spans)
    if sample.read >= total:
        return sample.classes, True
    factor = total / max(sample.read, 1)
    return Counter({name: round(number * factor) for name, number in sample.classes.items()}), False

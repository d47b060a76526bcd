"""Surveys images: number, classes, sizes, formats, unreadable ones. Checks them as a run does."""

import io
import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import PIL.Image

from common.errors import Rejected
from common.features import SPLITS
from components.image_example_gen.ingestion.splits import ALLOWED, PARTS, boundaries
from components.image_example_gen.inspection.examine import examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.data_config import DataConfig, SplitConfig
from components.image_example_gen.sources.base.labels import class_name
from components.image_example_gen.sources.base.parts import GroupConfig, Part
from components.image_example_gen.sources.base.source import BadImage, LabelledImage
from components.image_example_gen.sources.spans import open_window, span_folders
from pipeline.new_recipe.groups import Name, evident_groups

_MOST_IMAGES = 2000  # about
_SECONDS = 8.0  # for reading and checking them
_EXAMPLES = 3  # unreadable images that are named
_PICTURES, _SIDE = 8, 80  # kept of each class, and their longer side


@dataclass
class Survey:
    """The images of a source, and what a sample of them shows."""

    data: DataConfig
    layout: str  # such as `a folder per class`
    count: int  # files
    classes: Mapping[str, int]  # images of each class, in label order
    spans: tuple[int, ...] = ()  # numbers; empty without spans
    notes: tuple[str, ...] = ()  # of the source: what it took as classes, and left out
    # Of the sample:
    read: int = 0
    parts: Counter[Part | None] = field(default_factory=Counter)  # of a source that is divided
    formats: Counter[str] = field(default_factory=Counter)
    sides: list[tuple[int, int]] = field(default_factory=list)  # shorter and longer
    bad: Counter[str] = field(default_factory=Counter)  # by reason
    examples: list[str] = field(default_factory=list)  # unreadable images, and why
    names: list[Name] = field(default_factory=list)
    pictures: dict[str, list[PIL.Image.Image]] = field(default_factory=lambda: defaultdict(list))

    @property
    def median_side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(statistics.median(shorter for shorter, _ in self.sides))

    @property
    def group_by(self) -> GroupConfig | None:
        """Evident groups of the images, if the source has none."""
        may_have = self.data.source in ('folder', 'archive') and self.data.group_by is None
        return evident_groups(self.names) if may_have else None

    def split(self, splits: SplitConfig) -> dict[str, int]:
        """Expected number of images in train, eval and test with a SplitConfig."""
        divided = np.diff(boundaries(splits), prepend=0.0, append=1.0)
        shares = np.vstack([divided, ALLOWED[len(divided) :]])  # float [parts, splits]
        numbers = np.array([self.parts[part] for part in PARTS])
        expected = numbers @ shares / max(numbers.sum(), 1) * sum(self.classes.values())
        return dict(zip(SPLITS, map(round, expected), strict=True))

    def add(self, image: LabelledImage | BadImage, outcome: GoodImage | Rejected | None) -> None:
        """Adds an image of the sample; `outcome` is that of its check."""
        self.read += 1
        if isinstance(image, LabelledImage) and isinstance(outcome, GoodImage):
            self._add_good(image, outcome)
            return
        bad = image if isinstance(image, BadImage) else outcome
        assert isinstance(bad, BadImage | Rejected)
        self.bad[bad.reason] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f'{image.filename}: {bad.detail or bad.reason}')

    def _add_good(self, image: LabelledImage, outcome: GoodImage) -> None:
        label, path = [*self.classes][image.label], PurePath(image.filename)
        folders = [class_name(part) for part in path.parts]
        below = path.parts[folders.index(label) + 1 :] if label in folders else path.parts[-1:]
        self.names.append(Name(label, image.part, below))
        self.parts[image.part] += 1
        self.formats[_format(image, outcome)] += 1
        shorter, longer = sorted((outcome.width, outcome.height))
        self.sides.append((shorter, longer))
        if len(self.pictures[label]) < _PICTURES:
            with PIL.Image.open(io.BytesIO(outcome.contents)) as picture:
                picture.thumbnail((_SIDE, _SIDE))
                self.pictures[label].append(picture.convert('RGB'))


def survey(data: DataConfig, layout: str) -> Survey:
    """Opens the images, of spans those of the window, and checks a sample of them.

    `layout` describes how the images are laid out. The sample has evenly spaced shards; a shard of
    folders has images of all classes.

    Raises:
        DataError: the images cannot be used.
    """
    sources = [span.source for span in open_window(data)]
    counts = sum((source.counts for source in sources), Counter[str]())
    found = Survey(
        data=data,
        layout=layout,
        count=sum(source.count for source in sources),
        classes={name: counts[name] for name in sources[0].classes},
        spans=tuple(span_folders(data)),
        notes=tuple(dict.fromkeys(note for source in sources for note in source.notes)),
    )
    shards = [shard for source in sources for shard in source.shards()]
    end = math.inf

    def sample() -> Iterator[tuple[LabelledImage | BadImage, bytes | None]]:
        for shard in shards[:: max(round(found.count / _MOST_IMAGES), 1)]:
            for image in shard.images():
                yield image, image.contents if isinstance(image, LabelledImage) else None
                if time.monotonic() > end:
                    return

    for image, outcome in examine_all(sample(), data.checks):
        end = min(end, time.monotonic() + _SECONDS)  # the workers take seconds to start
        found.add(image, outcome)
    return found


def _format(image: LabelledImage, outcome: GoodImage) -> str:
    """The format of the file; the check may have converted it to PNG or JPEG."""
    if outcome.contents == image.contents:
        return outcome.format.upper()
    suffix = PurePath(image.filename).suffix[1:].upper()
    return {'JPG': 'JPEG', 'TIF': 'TIFF', '': 'other'}.get(suffix, suffix)

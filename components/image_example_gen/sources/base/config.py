"""Which images: the `data:` part of a recipe. Imports neither TensorFlow nor TFX."""

import datetime
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from common.features import IMAGE_BYTES, LABEL, SPLITS
from common.strict_model import StrictModel
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.sources.base.source_protocol import class_name


class SplitConfig(StrictModel):
    """Shares of the splits, in hash buckets: 3, 1 and 1 give test a fifth."""

    train: int = Field(3, ge=1)
    eval: int = Field(1, ge=1)
    test: int = Field(1, ge=1)
    test_of_validation: float = Field(
        0.2,
        gt=0,
        lt=1,
        description='of images that come as train and validation: the share of '
        'validation that becomes test, the rest being eval; train stays train',
    )

    def expected(self, count: int) -> dict[str, int]:
        """About how many of `count` images each split gets."""
        shares = {split: getattr(self, split) for split in SPLITS}
        return {
            split: round(count * share / sum(shares.values())) for split, share in shares.items()
        }


class FeatureNames(StrictModel):
    """What the features of somebody else's `tf.Example`s are called."""

    image: str = Field(IMAGE_BYTES, description='bytes of an image file')
    label: str = Field(LABEL, description='a whole number, or the name of a class')
    filename: str | None = Field(None, description='where an image came from; none: not known')


# The keys that not every source has, and those that have them.
ONLY_FOR = {
    'path': ('folder', 'archive', 'parquet', 'tfrecord', 'canonical'),
    'url': ('archive',),
    'sha256': ('archive',),
    'dataset': ('tfds',),
    'classes': ('folder', 'archive', 'parquet', 'tfds', 'tfrecord', 'canonical'),
    'features': ('tfrecord',),
    'span_range': ('folder', 'parquet', 'tfrecord'),
}
URL = re.compile('https?://[^/]', re.IGNORECASE)
_DATE = re.compile(r'(\d{4})(-?)(\d\d)\2(\d\d)')
_SPAN_FOLDER = re.compile(r'span-(\d+)')


def date_number(text: str) -> int | None:
    """`2026-11-21` or `20261121` as 20261121; None if that is no date."""
    match = _DATE.fullmatch(text)
    try:
        return match and int(f'{datetime.date(*map(int, match.group(1, 3, 4))):%Y%m%d}')
    except ValueError:
        return None


def number_of_span(name: str) -> int | None:
    """The number of the span in a folder of this name; None for another folder."""
    match = _SPAN_FOLDER.fullmatch(name)
    return int(match[1]) if match else date_number(name.removeprefix('span-'))


def _span_number(given: Any) -> Any:
    """YAML takes 2026-11-21 for a date; as a number it is a span's."""
    if isinstance(given, (datetime.date, str)):
        return date_number(str(given)) or given
    return given


SpanNumber = Annotated[int, Field(ge=0), BeforeValidator(_span_number)]


class DataConfig(StrictModel):
    """Where images come from, what they must be, and how they are split."""

    source: Literal['drawings', 'folder', 'archive', 'parquet', 'tfds', 'tfrecord', 'canonical'] = (
        'drawings'
    )
    path: Path | None = Field(
        None,
        description='folder: a folder with one folder per class, or with train and '
        'validation that hold such; archive: a zip or tar of such; parquet, tfrecord: a file, or a '
        'folder with any; canonical: a folder as ImageExampleGen writes it',
    )
    url: str | None = Field(None, description='archive: where to fetch it, once; in place of path')
    sha256: str | None = Field(
        None, pattern='^[0-9a-f]{64}$', description='archive: what its bytes must hash to'
    )
    classes: tuple[str, ...] | None = Field(
        None,
        description='names in the order of the labels; an image of another class is set '
        'aside; default: what the source says, such as the names of the folders',
    )
    features: FeatureNames = FeatureNames()
    dataset: str | None = Field(None, description="tfds: name of the data set, as 'cats_vs_dogs'")
    count: int = Field(2000, ge=100, description='drawings: how many')
    seed: int = Field(0, ge=0, description='drawings: which')
    checks: CheckConfig = CheckConfig()
    splits: SplitConfig = SplitConfig()
    window: int = Field(
        1,
        ge=1,
        description='of a path that holds span-1, span-2, ...: how many of the newest '
        'spans a model is trained on',
    )
    test_window: int = Field(
        1, ge=1, description='how many of the newest spans a model is judged on; part of window'
    )
    span_range: tuple[SpanNumber, SpanNumber] | None = Field(
        None, description='in place of window: the first and the last span, numbers or dates'
    )

    @property
    def several_spans(self) -> bool:
        """Whether a model may be trained on more than one span."""
        first, last = self.span_range or (1, self.window)
        return first < last

    @field_validator('url')
    @classmethod
    def _is_on_the_web(cls, url: str | None) -> str | None:
        if url is not None and not URL.match(url):
            raise ValueError('must begin with http:// or https://')
        return url

    @field_validator('classes')
    @classmethod
    def _are_two_or_more(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        classes = classes and tuple(map(class_name, classes))
        if classes is not None and len(set(classes)) < max(2, len(classes)):
            raise ValueError('must be two or more names, each once')
        return classes

    @model_validator(mode='after')
    def _source_has_what_it_needs(self) -> 'DataConfig':
        for key, sources in ONLY_FOR.items():
            given = getattr(self, key) != type(self).model_fields[key].default
            if given and self.source not in sources:
                names = ' or '.join(f"'{name}'" for name in sources)
                raise ValueError(f"the key '{key}' is for source {names}, not '{self.source}'")
        if self.source == 'tfds' and self.dataset is None:
            raise ValueError("source 'tfds' needs the key 'dataset'")
        if self.path and self.url:
            raise ValueError("an archive has a 'path' or a 'url', not both")
        return self

    @model_validator(mode='after')
    def _spans_are_there(self) -> 'DataConfig':
        if self.window > 1 and (self.span_range or self.source == 'canonical'):
            other = "'span_range'" if self.span_range else "source 'canonical'"
            raise ValueError(f"the key 'window' does not go with {other}; leave it out")
        first, last = self.span_range or (1, self.window)
        if last < first:
            raise ValueError(f'span_range ends with {last}, before it begins with {first}')
        if self.test_window > last - first + 1:
            limit = 'span_range' if self.span_range else 'window'
            raise ValueError(
                f'test_window is {self.test_window}, more than the {last - first + 1} of {limit}'
            )
        return self

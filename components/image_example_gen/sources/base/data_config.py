"""The `data:` section of a recipe: source, splits, spans. Imports neither TensorFlow nor TFX."""

import datetime
import os
import re
import urllib.parse
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from common import object_storage
from common.errors import DataError
from common.features import IMAGE_BYTES, LABEL, SPLITS
from common.redaction import RedactedUrl, is_redacted, redacted
from common.strict_model import StrictModel
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.sources.base.csv_columns import CsvColumns
from components.image_example_gen.sources.base.groups import GroupConfig, require_one_group
from components.image_example_gen.sources.base.source_protocol import class_name, is_class_name

# Keys that only some sources accept.
ONLY_FOR = {
    'path': ('folder', 'archive', 'csv', 'parquet', 'tfrecord', 'canonical'),
    'url': ('archive', 'folder'),
    'sha256': ('archive',),
    'dataset': ('tfds',),
    'classes': ('folder', 'archive', 'csv', 'parquet', 'tfds', 'tfrecord', 'canonical'),
    'label_pattern': ('folder', 'archive'),
    'columns': ('csv',),
    'features': ('tfrecord',),
    'group_by': ('folder', 'archive', 'csv', 'parquet', 'tfds', 'tfrecord'),
    'span_range': ('folder', 'csv', 'parquet', 'tfrecord'),
}
_GROUPED_BY = {
    'folder': ('folder', 'archive'),
    'pattern': ONLY_FOR['group_by'],
    'column': ('csv', 'parquet', 'tfrecord'),
}
_NOUNS = {'parquet': 'Parquet', 'tfrecord': 'TFRecords', 'canonical': 'canonical records'}
URL = re.compile('https?://[^/]', re.IGNORECASE)
DATA_URL = 'CATDOG_DATA_URL'  # environment variable
_DATE = re.compile(r'(\d{4})(-?)(\d\d)\2(\d\d)')
_SPAN_FOLDER = re.compile(r'span-(\d+)')


class SplitConfig(StrictModel):
    """Shares of the splits in hash buckets; with 3, 1 and 1 the test split gets a fifth."""

    train: int = Field(3, ge=1, description='buckets of the split that trains the weights')
    eval: int = Field(
        1, ge=1, description='buckets of the validation split, which selects epoch and temperature'
    )
    test: int = Field(1, ge=1, description='buckets of the split that judges models')
    test_share_of_validation: float = Field(
        0.2,
        gt=0,
        lt=1,
        description='for data with parts train and validation, and no part test: share of '
        'validation that becomes test; the rest becomes eval, and train stays train',
    )

    def expected(self, count: int) -> dict[str, int]:
        """Approximate number of images in each split, of `count` in total."""
        total = self.train + self.eval + self.test
        return {split: round(count * getattr(self, split) / total) for split in SPLITS}


class FeatureNames(StrictModel):
    """Feature names of external `tf.Example`s."""

    image: str = Field(IMAGE_BYTES, description='bytes of an image file')
    label: str = Field(LABEL, description='class index, or class name')
    filename: str | None = Field(None, description='file name of an image; optional')


def _date_number(text: str) -> int | None:
    """Converts `2026-11-21` or `20261121` to 20261121; None if it is not a date."""
    match = _DATE.fullmatch(text)
    try:
        return match and int(f'{datetime.date(*map(int, match.group(1, 3, 4))):%Y%m%d}')
    except ValueError:
        return None


def number_of_span(name: str) -> int | None:
    """The span number of a folder name; None if the folder is not a span."""
    match = _SPAN_FOLDER.fullmatch(name)
    return int(match[1]) if match else _date_number(name.removeprefix('span-'))


def _span_number(value: Any) -> Any:
    """Converts dates to span numbers; YAML parses 2026-11-21 as a date."""
    if isinstance(value, (datetime.date, str)):
        return _date_number(str(value)) or value
    return value


SpanNumber = Annotated[int, Field(ge=0), BeforeValidator(_span_number)]


class DataConfig(StrictModel):
    """Source of the images, checks, splits and spans."""

    source: Literal[
        'drawings', 'folder', 'archive', 'csv', 'parquet', 'tfds', 'tfrecord', 'canonical'
    ] = Field('drawings', description='where the images come from, and how they are stored')
    path: Path | None = Field(
        None,
        description='folder: a folder per class, or train, and validation or test or both, with a '
        'folder per class in each; archive: a zip or tar file of such folders; csv: a file with '
        'paths and classes of images, or a folder with one; parquet, tfrecord: a file or a folder '
        'of files; canonical: records that ImageExampleGen wrote',
    )
    url: RedactedUrl | None = Field(
        None,
        max_length=2000,
        repr=False,
        description='instead of path; archive: download URL, recorded without user name, password '
        'and query; folder: s3://BUCKET/PREFIX or gs://BUCKET/PREFIX in object storage',
    )
    sha256: str | None = Field(
        None, pattern='^[0-9a-f]{64}$', description='archive: expected SHA-256 digest'
    )
    classes: tuple[str, ...] | None = Field(
        None,
        description='class names in the order of the labels; images of other classes are '
        'quarantined; default: the class names of the source, such as folder names',
    )
    label_pattern: str | None = Field(
        None,
        max_length=1000,
        description='folder, archive: regular expression, searched in the file name without '
        'folders; the class is what its one pair of parentheses matches; default: the class is '
        'the folder',
    )
    columns: CsvColumns | None = Field(
        None, description='csv: names of the columns; default: usual ones, such as path and label'
    )
    features: FeatureNames = FeatureNames()
    dataset: str | None = Field(None, description="tfds: data set, such as 'cats_vs_dogs'")
    count: int = Field(2000, ge=100, le=10**7, description='drawings: number of images')
    seed: int = Field(0, ge=0, description='drawings: random seed')
    checks: CheckConfig = CheckConfig()
    splits: SplitConfig = SplitConfig()
    group_by: GroupConfig | None = Field(
        None,
        description='images of one group, such as a subject, a scene or a film, stay in one split; '
        'default: each image on its own',
    )
    window: int = Field(
        1,
        ge=1,
        description='number of newest spans (folders span-1, span-2, ... in path) to train on',
    )
    test_window: int = Field(
        1, ge=1, description='number of newest spans to evaluate on; at most window'
    )
    min_test_images: int = Field(
        600,
        ge=1,
        description='test images that decide between two models: the test splits of further, older '
        'spans are added until there are as many',
    )
    span_range: tuple[SpanNumber, SpanNumber] | None = Field(
        None, description='first and last span (numbers or dates), instead of window'
    )

    def describe(self) -> str:
        """The source and its place, as in `folder /home/ann/pets`, without secrets of a URL."""
        if self.source == 'drawings':
            return 'generated drawings'
        if self.source == 'tfds':
            return f'{self.dataset} of TensorFlow Datasets'
        place = redacted(self.url) if self.url else str(self.path)
        return f'{_NOUNS.get(self.source, self.source)} {place}'

    @property
    def is_in_bucket(self) -> bool:
        """Whether the images are objects of object storage."""
        return self.url is not None and bool(object_storage.URL.fullmatch(self.url))

    @property
    def has_secrets(self) -> bool:
        """Whether `url` has a user name, a password or a query, or had them before its record."""
        return self.url is not None and (redacted(self.url) != self.url or is_redacted(self.url))

    def download_url(self) -> str:
        """`url`; if it is redacted, the complete one of the environment variable CATDOG_DATA_URL.

        Raises DataError if that is not set, or differs in more than the redacted parts.
        """
        assert self.url is not None
        if not is_redacted(self.url):
            return self.url
        complete = os.environ.get(DATA_URL)
        if complete is None or redacted(complete) != self.url:
            problem = 'is not set' if complete is None else 'has another address'
            raise DataError(
                f'data.url is {self.url}, and the environment variable {DATA_URL} {problem}; set '
                'it to the complete URL'
            )
        return complete

    @property
    def spans_place(self) -> Path | str | None:
        """The folder, or the URL of the prefix, that may have spans."""
        return self.url if self.is_in_bucket else self.path

    @property
    def may_have_spans(self) -> bool:
        """Whether the source may be divided into spans."""
        return self.source in ONLY_FOR['span_range']

    @field_validator('path', mode='before')
    @classmethod
    def _is_local(cls, path: Any) -> Any:
        if isinstance(path, str) and object_storage.URL.match(path):
            raise ValueError("is a URL: set 'url' with source 'folder'")
        if isinstance(path, str) and URL.match(path):
            raise ValueError("is a URL: set 'url' with source 'archive'")
        if isinstance(path, str) and '://' in path:
            raise ValueError('is a URL, of which only http, https, s3 and gs are supported')
        return path

    @field_validator('url')
    @classmethod
    def _has_no_slash_at_the_end(cls, url: str | None) -> str | None:
        return url.rstrip('/') if url and object_storage.URL.match(url) else url

    @field_validator('url')
    @classmethod
    def _is_well_formed(cls, url: str | None) -> str | None:
        try:
            parts = urllib.parse.urlsplit(url or '')
            _ = parts.port, (parts.hostname or '').encode('idna')
        except ValueError:
            raise ValueError('is not a valid address') from None
        return url

    @field_validator('label_pattern')
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        return pattern if pattern is None else require_one_group(pattern)

    @field_validator('classes')
    @classmethod
    def _are_unique(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        classes = classes and tuple(map(class_name, classes))
        if classes is not None and len(set(classes)) < max(2, len(classes)):
            raise ValueError('must be two or more different names')
        if classes is not None and not all(map(is_class_name, classes)):
            raise ValueError('must be names without control characters')
        return classes

    @model_validator(mode='after')
    def _keys_match_source(self) -> 'DataConfig':
        allowed = {
            key: sources
            for key, sources in ONLY_FOR.items()
            if getattr(self, key) != type(self).model_fields[key].default
        }
        for key in self.group_by.keys if self.group_by else ():
            allowed[f'group_by.{key}'] = _GROUPED_BY[key]
        for key, sources in allowed.items():
            if self.source not in sources:
                names = ' or '.join(f"'{name}'" for name in sources)
                raise ValueError(f"key '{key}' is only for source {names}, not '{self.source}'")
        by_file_name = self.group_by and self.group_by.pattern
        if self.source == 'tfrecord' and by_file_name and not self.features.filename:
            raise ValueError("key 'group_by.pattern' needs the key 'features.filename'")
        if self.source == 'tfds' and self.dataset is None:
            raise ValueError("source 'tfds' needs the key 'dataset'")
        if self.url is not None and self.source == 'archive' and not URL.match(self.url):
            raise ValueError("key 'url' of an archive must begin with http:// or https://")
        if self.url is not None and self.source == 'folder' and not self.is_in_bucket:
            raise ValueError(
                "key 'url' of a folder must be s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
            )
        if self.path and self.url:
            raise ValueError(f"source '{self.source}' needs a 'path' or a 'url', not both")
        return self

    @model_validator(mode='after')
    def _spans_are_consistent(self) -> 'DataConfig':
        if self.window > 1 and (self.span_range or self.source == 'canonical'):
            other = "'span_range'" if self.span_range else "source 'canonical'"
            raise ValueError(f"key 'window' cannot be combined with {other}; remove it")
        first, last = self.span_range or (1, self.window)
        if last < first:
            raise ValueError(f'span_range ends with {last}, before its start {first}')
        key, most = 'span_range' if self.span_range else 'window', last - first + 1
        if self.test_window > most:
            raise ValueError(f'test_window is {self.test_window}, larger than {key} ({most})')
        return self

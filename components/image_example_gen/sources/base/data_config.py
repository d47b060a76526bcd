"""The `data:` section of a recipe: source, splits, spans. Imports neither TensorFlow nor TFX."""

import os
import re
import urllib.parse
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from common import object_storage
from common.features import SPLITS
from common.redaction import RedactedUrl, is_redacted, redacted
from common.strict_model import StrictModel
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.sources.base.labels import class_name, is_class_name
from components.image_example_gen.sources.base.parts import GroupConfig, Pattern

# Keys that only some sources accept.
_FILES = ('folder', 'csv', 'parquet', 'tfrecord')
ONLY_FOR = {
    'path': (*_FILES, 'archive'),
    'url': ('archive', 'folder'),
    'sha256': ('archive',),
    'dataset': ('tfds',),
    'classes': (*_FILES, 'archive', 'tfds'),
    'label_pattern': ('folder', 'archive'),
    'columns': ('csv', 'parquet', 'tfrecord'),
    'group_by': (*_FILES, 'archive', 'tfds'),
    'group_by.folder': ('folder', 'archive'),
    'group_by.column': ('csv', 'parquet', 'tfrecord'),
}
URL = re.compile('https?://[^/]', re.IGNORECASE)
DATA_URL = 'CATDOG_DATA_URL'  # environment variable
_Names = tuple[str, ...] | dict[str, str]


class SplitConfig(StrictModel):
    """Shares of the splits in hash buckets; with 3, 1 and 1 the test split gets a fifth."""

    train: int = Field(3, ge=1, description='buckets of the split that trains the weights')
    eval: int = Field(1, ge=1, description='of the split that selects epoch and temperature')
    test: int = Field(1, ge=1, description='buckets of the split that judges models')
    test_share_of_validation: float = Field(
        0.2,
        gt=0,
        lt=1,
        description='of data divided into train and validation: share of validation for test',
    )

    def expected(self, count: int) -> dict[str, int]:
        """Approximate number of images in each split, of `count` in total."""
        total = self.train + self.eval + self.test
        return {split: round(count * getattr(self, split) / total) for split in SPLITS}


class ColumnConfig(StrictModel):
    """Names of columns, or of features; by default, usual names are recognised."""

    image: str | None = Field(
        None,
        min_length=1,
        description='csv: path of an image; parquet, tfrecord: its bytes; default: image, img, ...',
    )
    label: str | None = Field(
        None, min_length=1, description='its class; default: label, class, category, ...'
    )
    split: str | None = Field(
        None,
        description="train, validation or test; default: split, set, is_valid, ...; '': none",
    )


def _local_path(path: Any) -> Any:
    if isinstance(path, str) and '://' in path:
        raise ValueError(
            "is a URL: set 'url' with source 'folder' (s3, gs) or 'archive' (http, https)"
        )
    # That of Path raises an error without a home folder.
    return os.path.expanduser(path) if isinstance(path, str | Path) else path  # noqa: PTH111


def _well_formed_url(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port, (parts.hostname or '').encode('idna')
    except ValueError:
        raise ValueError('is not a valid address') from None
    return url.rstrip('/') if object_storage.URL.match(url) else url


_Url = Annotated[RedactedUrl, Field(max_length=2000), AfterValidator(_well_formed_url)]


def _as_texts(classes: Any) -> Any:
    """Converts the names to text: YAML reads 0 and true as a number and a boolean."""
    if isinstance(classes, dict):
        return dict(zip(_as_texts([*classes]), _as_texts([*classes.values()]), strict=True))
    if not isinstance(classes, list | tuple):
        return classes
    return [str(name).lower() if isinstance(name, bool | int) else name for name in classes]


def _different_names(classes: _Names) -> _Names:
    old = [*map(class_name, classes)]
    new = [*map(class_name, classes.values())] if isinstance(classes, dict) else old
    if not all(map(is_class_name, (*old, *new))):
        raise ValueError('must be names without control characters')
    # Several classes may have one new name.
    if len({*new}) < (2 if isinstance(classes, dict) else max(2, len(new))):
        raise ValueError('must be two or more different names')
    return dict(zip(old, new, strict=True)) if isinstance(classes, dict) else tuple(new)


ClassNames = Annotated[_Names, BeforeValidator(_as_texts), AfterValidator(_different_names)]


def _number_of_spans(value: object) -> object:
    if value != 'all' and not (isinstance(value, int) and value >= 1):
        raise ValueError("input should be 'all' or the number of the newest spans, 1 or more")
    return value


class DataConfig(StrictModel):
    """Source of the images, checks, splits and spans."""

    source: Literal['drawings', 'folder', 'archive', 'csv', 'parquet', 'tfds', 'tfrecord'] = Field(
        'drawings', description='where the images come from, and how they are stored'
    )
    path: Annotated[Path | None, BeforeValidator(_local_path)] = Field(
        None,
        description='folder: one of class folders; archive: a zip or tar file; csv, parquet, '
        'tfrecord: a file or a folder of files',
    )
    url: _Url | None = Field(
        None,
        repr=False,
        description='archive: download URL, recorded without user name, password and query; '
        'folder: s3://BUCKET/PREFIX or gs://BUCKET/PREFIX in object storage',
    )
    sha256: Annotated[str, AfterValidator(str.lower)] | None = Field(
        None, pattern='^[0-9a-fA-F]{64}$', description='archive: expected SHA-256 digest'
    )
    classes: ClassNames | None = Field(
        None,
        description='class names in the order of the labels, or OLD: NEW for each, to rename or '
        'join some; images of other classes are quarantined; default: those of the source',
    )
    label_pattern: Pattern | None = Field(
        None,
        description='folder, archive: regular expression whose one pair of parentheses matches the '
        'class in the file name; default: the class is the folder',
    )
    columns: ColumnConfig = ColumnConfig()
    dataset: str | None = Field(None, description="tfds: data set, such as 'cats_vs_dogs'")
    count: int = Field(2000, ge=100, le=10**7, description='drawings: number of images')
    seed: int = Field(0, ge=0, description='drawings: random seed')
    checks: CheckConfig = CheckConfig()
    splits: SplitConfig = SplitConfig()
    group_by: GroupConfig | None = Field(
        None,
        description='images of one group, such as a subject or a film, stay in one split',
    )
    window: Annotated[int | Literal['all'], BeforeValidator(_number_of_spans)] = Field(
        'all',
        description='spans (folders span-1, span-2, ... in path) to train on: all, or the number '
        'of the newest ones',
    )
    test_window: int = Field(1, ge=1, description='newest spans to evaluate on; at most window')
    min_test_images: int = Field(
        600, ge=1, description='older spans are evaluated on too until there are as many'
    )

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of `classes` in the order of the labels: the new ones of renamed classes."""
        if isinstance(self.classes, dict):
            return tuple(dict.fromkeys(self.classes.values()))
        return self.classes

    def describe(self) -> str:
        """The source and its place, as in `folder /home/ann/pets`, without secrets of a URL."""
        if self.source == 'drawings':
            return 'generated drawings'
        if self.source == 'tfds':
            return f'{self.dataset} of TensorFlow Datasets'
        place = redacted(self.url) if self.url else str(self.path)
        return f'{self.source} {place}'

    @property
    def is_in_bucket(self) -> bool:
        """Whether the images are objects of object storage."""
        return self.url is not None and bool(object_storage.URL.fullmatch(self.url))

    @property
    def has_secrets(self) -> bool:
        """Whether `url` has a user name, a password or a query, or had them before its record."""
        return self.url is not None and (redacted(self.url) != self.url or is_redacted(self.url))

    @property
    def spans_place(self) -> Path | str | None:
        """The folder, or the URL of the prefix, that may have spans."""
        return self.url if self.is_in_bucket else self.path

    @property
    def may_have_spans(self) -> bool:
        """Whether the source may be divided into spans."""
        return self.source in _FILES

    @model_validator(mode='after')
    def _keys_match_source(self) -> 'DataConfig':
        fields = type(self).model_fields
        given = [key for key in fields if getattr(self, key) != fields[key].default]
        given += [f'group_by.{key}' for key in (self.group_by.keys if self.group_by else ())]
        for key in given:
            sources = ONLY_FOR.get(key, (self.source,))
            if self.source not in sources:
                names = ' or '.join(f"'{name}'" for name in sources)
                raise ValueError(f"key '{key}' is only for source {names}, not '{self.source}'")
        if self.source == 'tfds' and self.dataset is None:
            raise ValueError("source 'tfds' needs the key 'dataset'")
        if self.url and not (self.is_in_bucket if self.source == 'folder' else URL.match(self.url)):
            raise ValueError(
                "key 'url' of a folder must be s3:// or gs://BUCKET/PREFIX, of an archive http(s)://"
            )
        if self.path and self.url:
            raise ValueError(f"source '{self.source}' needs a 'path' or a 'url', not both")
        return self

    @model_validator(mode='after')
    def _spans_are_consistent(self) -> 'DataConfig':
        if self.window != 'all' and self.test_window > self.window:
            raise ValueError(f'test_window is {self.test_window}, larger than window')
        return self

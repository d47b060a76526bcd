"""Source for images in a folder per class, or with their classes in the names of the files.

Does not import TensorFlow.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import DataError, TooFewImages
from components.image_example_gen.sources.base.bucket_folder import BucketFolder
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import group_of_path
from components.image_example_gen.sources.base.labelled_files import FileSource, ImageFile
from components.image_example_gen.sources.base.layout import Layout
from components.image_example_gen.sources.base.listing import (
    Folder,
    Listing,
    LocalFolder,
    list_files,
)
from components.image_example_gen.sources.base.parts import kind_of, limit_sources
from components.image_example_gen.sources.base.source_protocol import BadImage

_FOLDERS = 'a folder per class, or train, validation and test with a folder per class in each'
# CLASS.N.jpg, CLASS_N.jpg, CLASS-N.jpg, CLASS N.jpg, CLASS (N).jpg
CLASS_AND_NUMBER = r'^(.*[^\W\d_])[ ._-]+\(?\d+\)?\.\w+$'
# Names that cameras and programs give: a number follows, but they are no classes.
_NO_CLASSES = re.compile(
    r'(img|image|dsc[fn]?|pict?|pxl|mvimg|vid|dcim|photo|picture|pic|foto|scan|file|frame|'
    r'screenshot|screen shot|whatsapp image|untitled|download)',
    re.IGNORECASE,
)


class FolderSource(FileSource):
    """A folder of class folders, or of parts such as `train` and `test` with class folders.

    Args:
        config: the section `data` of a recipe; `path` is the folder, or `url` the prefix.
        complete: whether each class must have images; False for one span of several.
        where: name of the source in messages.
        unreadable: further images that cannot be read, and why.
        digest: the fingerprint, instead of one of the files.

    Raises:
        DataError: the folder is missing, cannot be read or has no images, there are fewer than two
            classes, or a class has no images.
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        complete: bool = True,
        where: str = '',
        unreadable: Mapping[str, str] | None = None,
        digest: str | None = None,
    ) -> None:
        place = config.url or config.path
        where = where or f'data folder {place}'
        folder: Folder = LocalFolder(place) if isinstance(place, Path) else BucketFolder(str(place))
        if isinstance(place, Path) and not place.is_dir():
            problem = 'is a file of unknown type' if place.exists() else 'does not exist'
            raise DataError(
                f'{where} {problem}; expected a folder with one folder per class, or a file called '
                '*.zip, *.tar, *.tar.gz, *.csv, *.tsv, *.txt, *.parquet or *.tfrecord'
            )
        listing = list_files(folder)
        if not listing.files:
            raise TooFewImages(f'{where} holds no images; expected {_FOLDERS}')
        group_level = (config.group_by and config.group_by.folder) or 0
        in_names = config.label_pattern is not None
        layout = Layout(listing, config.classes or (), group_level, in_names=in_names)
        default = '' if digest else str(place).rstrip('/').rpartition('/')[2]
        images = _images(listing, layout, config, default)
        _require_labels(where, images, layout, config)
        bad = [
            BadImage(name, 'unreadable', f'it cannot be read: {problem}')
            for name, problem in (unreadable or {}).items()
        ]
        super().__init__(
            where,
            folder,
            [*images, *bad],
            config,
            complete=complete,
            notes=[*layout.notes()],
            state=config.label_pattern,
            digest=digest,
        )


def pattern_in(listing: Listing) -> tuple[str | None, list[str]]:
    """A `data.label_pattern` for the images, or those of train; and their names."""
    places = Layout(listing, in_names=True).places
    paths = [file.name.rpartition('/') for file in listing.files]
    names = [n for f, _, n in paths if (place := places[f]) and place.kind in (None, 'train')]
    return pattern_of_names(names), names


def pattern_of_names(names: Sequence[str]) -> str | None:
    """A `data.label_pattern` for file names that consist of a class and a number.

    None unless each name does, and there are two or more classes, each with two or more images.
    """
    counts: Counter[str] = Counter()
    for name in names:
        match = re.fullmatch(CLASS_AND_NUMBER, name)
        if not match or _NO_CLASSES.fullmatch(match[1]):
            return None
        counts[match[1]] += 1
    return CLASS_AND_NUMBER if len(counts) > 1 and min(counts.values()) > 1 else None


def _images(
    listing: Listing, layout: Layout, config: DataConfig, default_source: str
) -> list[ImageFile]:
    pattern = config.label_pattern and re.compile(config.label_pattern)
    sizes: Counter[str] = Counter()
    for folder, place in layout.places.items():
        sizes[place.below[0] if place and place.below else ''] += layout.sizes[folder]
    sources = limit_sources(sizes) | {'': default_source}
    images = []
    for file in listing.files:
        folder, _, name = file.name.rpartition('/')
        place = layout.places[folder]
        if place is None:
            continue
        label = place.label
        if pattern:
            match = pattern.search(name)
            label = (match[1] or '') if match else ''
        group = group_of_path(config.group_by, (*place.below, name)) if config.group_by else None
        source = sources[place.below[0] if place.below else '']
        images.append(ImageFile(file, label, place.kind, source, group))
    return images


def _require_labels(
    where: str, images: Sequence[ImageFile], layout: Layout, config: DataConfig
) -> None:
    labels = {each.label for each in images} - {''}
    if not labels and config.label_pattern:
        name = images[0].file.name.rpartition('/')[2]
        raise TooFewImages(
            f'{where} has {len(images):,} images, none with a name that data.label_pattern '
            f'{config.label_pattern} matches, such as {name}; correct it, or remove it if there is '
            f'{_FOLDERS}'
        )
    if layout.is_repeated:
        raise DataError(
            f'{where} has the same folders in {", ".join(sorted(labels)[:5])}: if they are the '
            'classes, give one of these as the data folder, else list these in data.classes'
        )
    kinds = {kind_of(label) for label in labels}
    if labels and (config.label_pattern or layout.kinds or None in kinds or len(kinds) < 2):
        return
    names = [each.file.name.rpartition('/')[2] for each in images]
    hint = 'if the file names have the classes, set data.label_pattern'
    if pattern := pattern_of_names(names):
        hint = f"the file names have classes: set data.label_pattern: '{pattern}'"
    problem = 'holds only images outside class folders'
    if labels:
        problem = f'is divided into {", ".join(sorted(labels))}, which have no class folders'
    raise TooFewImages(f'{where} {problem}; expected {_FOLDERS}; {hint}')

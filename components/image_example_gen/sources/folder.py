"""Source for images in a folder per class, or with their classes in the names of the files.

Does not import TensorFlow.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import DataError, TooFewImages
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import group_of_path
from components.image_example_gen.sources.base.labelled_files import FileSource, ImageFile
from components.image_example_gen.sources.base.layout import Layout
from components.image_example_gen.sources.base.listing import File, list_files, open_folder
from components.image_example_gen.sources.base.parts import is_part, limit_sources

_FOLDERS = 'a folder per class, or train, validation and test with a folder per class in each'


class FolderSource(FileSource):
    """A folder of class folders, or of parts such as `train` and `test` with class folders.

    Args:
        config: the section `data` of a recipe; `path` is the folder, or `url` the prefix.
        complete: whether each class must have images; False for one span of several.

    Attributes:
        layout: human-readable, such as `train, test with a folder per class in each`.

    Raises:
        DataError: the folder is missing, cannot be read or has no images, there are fewer than two
            classes, or a class has no images.
    """

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
        place = config.path or config.url
        assert place
        where = f'data folder {place}'
        if isinstance(place, Path) and not place.is_dir():
            problem = 'is a file of unknown type' if place.exists() else 'does not exist'
            raise DataError(
                f'{where} {problem}; expected a folder with one folder per class, or a file called '
                '*.zip, *.tar, *.tar.gz, *.csv, *.tsv, *.txt, *.parquet or *.tfrecord'
            )
        folder = open_folder(place)
        listed = list_files(folder)
        if not listed:
            raise TooFewImages(f'{where} holds no images; expected {_FOLDERS}')
        layout = Layout(listed, config)
        if layout.problem:
            raise DataError(f'{where} {layout.problem}')
        is_archive = config.source == 'archive'  # extracted into a folder with any name
        source = '' if is_archive else str(place).rstrip('/').rpartition('/')[2]
        rows = list(_rows(listed, layout, config, source))
        labels = {row.label for row in rows} - {''}
        is_clear = config.label_pattern or layout.kinds or not all(map(is_part, labels))
        if not labels or not is_clear:
            example = rows[0].file.name if rows else listed[0].name
            raise TooFewImages(
                f'{where} has no class folders, only images such as {example}; expected '
                f'{_FOLDERS}; if the file names have the classes, set or correct data.label_pattern'
            )
        self.layout = layout.describe()
        super().__init__(
            where,
            folder,
            rows,
            config,
            complete=complete,
            notes=[*layout.notes()],
            state=config.label_pattern,
        )


def _rows(
    files: Sequence[File], layout: Layout, config: DataConfig, default_source: str
) -> Iterator[ImageFile]:
    pattern = config.label_pattern and re.compile(config.label_pattern)
    sizes: Counter[str] = Counter()
    for folder, place in layout.places.items():
        sizes[place.below[0] if place and place.below else ''] += layout.sizes[folder]
    sources = limit_sources(sizes) | {'': default_source}
    for file in files:
        folder, _, name = file.name.rpartition('/')
        if place := layout.places[folder]:
            label = place.label
            if pattern:
                match = pattern.search(name)
                label = (match[1] or '') if match else ''
            group = group_of_path(config.group_by, (*place.below, name))
            source = sources[place.below[0] if place.below else '']
            yield ImageFile(file, label, place.kind, source, group)

"""Creates the source of images of a recipe."""

import importlib

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import Source

# Modules, and their classes or functions; a module is imported on demand: TensorFlow Datasets alone takes seconds.
_CLASSES = {
    'drawings': ('drawings', 'DrawingsSource'),
    'folder': ('folder', 'FolderSource'),
    'archive': ('archive.source', 'open_archive'),
    'csv': ('csv_file', 'CsvSource'),
    'parquet': ('parquet', 'ParquetSource'),
    'tfrecord': ('tfrecord', 'TfrecordSource'),
    'tfds': ('tfds', 'TfdsSource'),
}


def make_source(config: DataConfig, *, complete: bool = True) -> Source:
    """Opens the source of a recipe.

    `complete`: whether each class must have images; False for one span of several.

    Raises:
        DataError: the images cannot be used.
    """
    if config.path is None and config.url is None and config.source not in ('drawings', 'tfds'):
        raise DataError(  # allowed in a recipe: the path depends on the machine
            f"source '{config.source}' needs a path: give --data PATH, or set data.path"
        )
    module, name = _CLASSES[config.source]
    found = importlib.import_module(f'{__package__}.{module}')
    source: Source = getattr(found, name)(config, complete=complete)
    return source

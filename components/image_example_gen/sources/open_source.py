"""Creates the source of images of a recipe."""

from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labelled_files import LabelledFiles
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.csv_file import CsvSource
from components.image_example_gen.sources.folder import FolderSource


def make_source(config: DataConfig) -> Source:
    """Opens the source of a recipe.

    Imports its module on demand: TensorFlow Datasets alone takes seconds.

    Raises:
        DataError: the images cannot be used.
    """
    if config.source == 'drawings':
        from components.image_example_gen.sources.drawings.source import DrawingsSource

        return DrawingsSource(config.count, config.seed)
    if config.source == 'tfds':
        from components.image_example_gen.sources.tfds import TfdsSource

        assert config.dataset is not None  # the config is validated
        return TfdsSource(config.dataset, config.classes, config.group_by)
    if config.source == 'archive':
        from components.image_example_gen.sources.archive.download import fetch, require_sha256
        from components.image_example_gen.sources.archive.source import ArchiveSource

        path = fetch(config.download_url(), config.sha256) if config.url else _path(config)
        if config.sha256 and not config.url:
            require_sha256(path, config.sha256)
        return ArchiveSource(
            path,
            config.classes,
            max_bytes=config.checks.max_bytes,
            group_by=config.group_by,
            label_pattern=config.label_pattern,
        )
    if config.source in ('folder', 'csv'):
        return open_files(config, config.url or _path(config))
    path = _path(config)
    if config.source == 'tfrecord':
        from components.image_example_gen.sources.tfrecord.source import TfrecordSource

        return TfrecordSource(
            path,
            config.features,
            config.classes,
            config.group_by,
            max_bytes=config.checks.max_bytes,
        )
    if config.source == 'canonical':
        from components.image_example_gen.sources.tfrecord.canonical import CanonicalSource

        return CanonicalSource(path, config.classes)
    from components.image_example_gen.sources.parquet.source import ParquetSource

    return ParquetSource(path, config.classes, config.group_by, max_bytes=config.checks.max_bytes)


def open_files(config: DataConfig, place: Path | str, *, complete: bool = True) -> LabelledFiles:
    """Opens the images of a folder, of a prefix in object storage or of a CSV file.

    `complete`: whether each class must have images; False for one span of several. Raises DataError
    if the images cannot be used.
    """
    if config.source == 'csv':
        return CsvSource(
            Path(place),
            config.classes,
            columns=config.columns,
            group_by=config.group_by,
            max_bytes=config.checks.max_bytes,
            complete=complete,
        )
    return FolderSource(
        place,
        config.classes,
        max_bytes=config.checks.max_bytes,
        complete=complete,
        group_by=config.group_by,
        label_pattern=config.label_pattern,
    )


def _path(config: DataConfig) -> Path:
    if config.path is None:  # allowed in a recipe: the path depends on the machine
        raise DataError(
            f"source '{config.source}' needs a path: give --data PATH, or set data.path"
        )
    return config.path

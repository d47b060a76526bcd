"""From the `data:` part of a recipe to a source of images."""

from components.sources.base import DataError, Source
from components.sources.config import DataConfig


def make_source(config: DataConfig, classes: tuple[str, ...] | None = None) -> Source:
    """Opens the source that a recipe names.

    Each kind is imported when it is asked for: TensorFlow Datasets alone takes seconds.

    Args:
        config: the `data:` part of the recipe.
        classes: of a folder that is one of several, the names that all of them have together.

    Raises:
        DataError: the images cannot be used.
    """
    if config.source == 'drawings':
        from components.sources.drawings.source import DrawingsSource

        return DrawingsSource(config.count, config.seed)
    if config.source == 'tfds':
        from components.sources.tfds import TfdsSource

        assert config.dataset is not None  # the config is validated
        return TfdsSource(config.dataset, config.classes)
    if config.path is None:  # not an error of the recipe: everybody's images lie elsewhere
        raise DataError(
            f"source '{config.source}' needs to know where: give --data PATH, or set data.path"
        )
    if config.source == 'folder':
        from components.sources.folder import FolderSource

        return FolderSource(config.path, classes)
    if config.source == 'tfrecord':
        from components.sources.tfrecord import TfrecordSource

        return TfrecordSource(config.path, config.features, config.classes)
    if config.source == 'canonical':
        from components.sources.canonical import CanonicalSource

        if config.window > 1:
            raise DataError(
                f'data.window is {config.window}, but TFX imports canonical records one span at a '
                'time; set it to 1'
            )
        return CanonicalSource(config.path, config.classes)
    from components.sources.parquet import ParquetSource

    return ParquetSource(config.path, config.classes)

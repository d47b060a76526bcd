"""Source for images in a folder per class, or with their classes in the names of the files.

Supports `CLASS/1.jpg`, as `keras.utils.image_dataset_from_directory` reads it, and with a pattern
`CLASS.1.jpg`; both may be divided into folders such as `train`, `validation` and `test`. Class
folders may have subfolders of any depth.
"""

from pathlib import Path, PurePosixPath

from common.errors import DataError, TooFewImages
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.image_folder import (
    BucketFolder,
    ImageFolder,
    LocalFolder,
)
from components.image_example_gen.sources.base.labelled_files import ImageFile, LabelledFiles
from components.image_example_gen.sources.base.layout import FolderLayout
from components.image_example_gen.sources.base.reading import MAX_BYTES


class FolderSource(LabelledFiles):
    """A folder of class folders, or of parts such as `train` and `test` with class folders.

    Hidden files are ignored. Images without a class are bad images and are not read.

    Args:
        path: the folder, or the URL of a prefix in object storage.
        classes: names in the order of the labels; None: the sorted names in the data.
        max_bytes: limit of an image; a larger one is a bad image and is not read.
        complete: whether each class must have images; False for one span of several.
        archive: the archive that the folder was extracted from.
        group_by: the groups of images, if any.
        label_pattern: a regular expression that matches the class in the name of a file, instead
            of class folders.
        digest: of the archive; part of the fingerprint, instead of the state of the files.

    Attributes:
        counts: number of images of each class, including empty class folders.
        ignored: number of files without the suffix of an image.

    Raises:
        DataError: the folder is missing, cannot be read or has no images, there are fewer than two
            classes, a class has no images, or the parts are not train and others with the same
            classes.
    """

    def __init__(
        self,
        path: Path | str,
        classes: tuple[str, ...] | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        complete: bool = True,
        archive: Path | None = None,
        group_by: GroupConfig | None = None,
        label_pattern: str | None = None,
        digest: str | None = None,
    ) -> None:
        where = f'archive {archive}' if archive else f'data folder {path}'
        if isinstance(path, Path) and not path.is_dir():
            problem = 'is a file of unknown type' if path.exists() else 'does not exist'
            raise DataError(
                f'{where} {problem}; expected a folder with one folder per class, or a file called '
                '*.zip, *.tar, *.tar.gz, *.csv, *.parquet or *.tfrecord'
            )
        folder: ImageFolder = LocalFolder(path) if isinstance(path, Path) else BucketFolder(path)
        listing = folder.list_images()
        default_source = '' if archive else PurePosixPath(path).name
        if digest:
            listing = listing._replace(fingerprint=digest)
        layout = FolderLayout(where, listing, label_pattern, default_source, group_by)
        files = layout.files()
        if not any(isinstance(file, ImageFile) for file in files):
            raise TooFewImages(f'{where} {layout.why_no_classes()}')
        self.ignored = listing.ignored
        self.fingerprint = layout.fingerprint()
        super().__init__(
            where,
            folder,
            files,
            classes,
            max_bytes=max_bytes,
            complete=complete,
            empty=layout.class_folders(),
        )

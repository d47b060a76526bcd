"""Reads the metadata of a SavedModel without loading it."""

import json
from pathlib import Path

from common import features
from common.errors import ModelError
from common.files import read_regular


def read_classes(folder: Path) -> tuple[str, ...]:
    """Class names of a SavedModel by label.

    Raises:
        ModelError: the folder has no SavedModel, or no readable list of classes.
    """
    if not (folder / 'saved_model.pb').is_file():
        raise ModelError(f'{folder} is not the folder of a SavedModel')
    try:
        names = json.loads(read_regular(folder / features.CLASSES_FILE))
        return tuple(map(str, names))
    except (OSError, ValueError, TypeError):
        raise ModelError(
            f'the model in {folder} has no readable {features.CLASSES_FILE} with its classes; '
            'use a model of this pipeline'
        ) from None

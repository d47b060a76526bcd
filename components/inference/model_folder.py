"""What can be said of an exported model without loading it. Imports no TensorFlow."""

import json
from pathlib import Path

from common import features
from common.errors import ModelError


def read_classes(folder: Path) -> tuple[str, ...]:
    """The names of the classes that a SavedModel knows, in the order of their labels.

    Raises:
        ModelError: it is no SavedModel, or does not say, as those of others do not.
    """
    if not (folder / 'saved_model.pb').is_file():
        raise ModelError(f'{folder} is not the folder of a SavedModel')
    try:
        names = json.loads((folder / features.CLASSES_FILE).read_text(encoding='utf-8'))
        return tuple(map(str, names))
    except (OSError, ValueError, TypeError):
        raise ModelError(
            f'the model in {folder} does not say which classes it knows: it has no '
            f'{features.CLASSES_FILE} that can be read'
        ) from None

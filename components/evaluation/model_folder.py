"""What can be said of an exported model without loading it. Imports no TensorFlow."""

import json
from pathlib import Path

from components.push.listing import versions_in
from trainer import features


class ModelUnusable(ValueError):
    """A folder does not hold what is needed; the message is one sentence for a person."""


def read_classes(folder: Path) -> tuple[str, ...]:
    """The names of the classes that a SavedModel knows, in the order of their labels.

    Raises:
        ModelUnusable: it is no SavedModel, or does not say, as those of others do not.
    """
    if not (folder / 'saved_model.pb').is_file():
        raise ModelUnusable(f'{folder} is not the folder of a SavedModel')
    try:
        names = json.loads((folder / features.CLASSES_FILE).read_text(encoding='utf-8'))
        return tuple(map(str, names))
    except (OSError, ValueError, TypeError):
        raise ModelUnusable(
            f'the model in {folder} does not say which classes it knows: it has no '
            f'{features.CLASSES_FILE} that can be read'
        ) from None


def find_model(serving: Path, wanted: str | None) -> Path:
    """The folder of a model.

    Args:
        serving: the folder that a model server watches.
        wanted: the number of a version in it, or a folder anywhere; None: what is live there.

    Raises:
        ModelUnusable: there is none.
    """
    versions = {path.name: path for path in versions_in(serving)}
    if wanted is None:
        if not versions:
            raise ModelUnusable(
                f'no model is live in {serving}; run the recipe until one is pushed, or give one '
                'with --model'
            )
        return [*versions.values()][-1]
    folder = versions.get(wanted, Path(wanted))
    if not folder.is_dir():
        there = ', '.join(versions) or 'none'
        raise ModelUnusable(f'{wanted} is neither a folder nor a version in {serving}: {there}')
    return folder

"""Files of a SavedModel that is not loaded."""

from pathlib import Path

WEIGHTS = 'variables/variables.data-00000-of-00001'
FILES = ('saved_model.pb', 'variables/variables.index', WEIGHTS)


def write_saved_model(folder: Path, text: str) -> Path:
    """Writes each of the files, with a text that identifies the model."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{name} of {text}')
    return folder

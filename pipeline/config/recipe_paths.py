"""Makes the relative paths of a recipe absolute."""

import contextlib
import os
from pathlib import Path
from typing import Any

from trainer.config.train import NAMED_WEIGHTS

# Dotted keys of files and folders on this machine.
PATHS = (
    'workdir',
    'push_directory',
    'pipeline_root',
    'data.path',
    'trainer.weights',
    'trainer.warm_start',
    'inference.path',
    'kubeflow.connection.ca_certificate',
)


def make_absolute(values: dict[str, Any], folder: Path) -> None:
    """Makes the paths in `values`, the content of a YAML file, absolute, in place.

    Relative ones are relative to `folder`, and `~` is the home folder. Leaves what cannot be a
    path, such as a URL, to the validation.
    """
    for dotted in PATHS:
        section: Any = values
        *parents, key = dotted.split('.')
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        path = section.get(key) if isinstance(section, dict) else None
        is_name = dotted == 'trainer.weights' and path in NAMED_WEIGHTS
        is_name |= dotted == 'trainer.warm_start' and not str(path).endswith('.keras')
        if isinstance(path, str) and path and ':/' not in path and not is_name:
            with contextlib.suppress(ValueError):  # null bytes, no valid Unicode
                section[key] = absolute(path, folder)


def absolute(path: str, folder: Path) -> str:
    """The absolute path, and if it has `..`, which links change, the real one."""
    full = folder / os.path.expanduser(path)  # noqa: PTH111 - Path raises for unknown users
    return os.path.realpath(full) if '..' in full.parts else str(full)

"""Imports the module of `trainer.model`. Imports neither TensorFlow nor TFX."""

import importlib
from pathlib import Path
from types import ModuleType

from common.errors import ConfigError


def import_own(model: str) -> ModuleType:
    """Imports the module of `package.module:function`; raises ConfigError if that fails."""
    name = model.partition(':')[0]
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # of the user's code
        raise ConfigError(f'trainer.model: {name} cannot be imported: {summary(error)}') from error


def source_files(model: str) -> dict[str, Path]:
    """Returns the sources of the top-level package, or of the one module, by relative path.

    Raises ConfigError if the module cannot be imported or has no source.
    """
    module = import_own(model)
    package = importlib.import_module(module.__name__.partition('.')[0])
    folders = [Path(each) for each in getattr(package, '__path__', ())]
    files = {
        str(file.relative_to(folder)): file for folder in folders for file in folder.rglob('*.py')
    }
    path = Path(getattr(module, '__file__', None) or '')
    if path.suffix != '.py':
        raise ConfigError(f'trainer.model: {module.__name__} has no Python source')
    return files or {path.name: path}


def summary(error: BaseException) -> str:
    """Formats an error, as of the user's code, in one line."""
    return f'{type(error).__name__}: {error}'.partition('\n')[0]

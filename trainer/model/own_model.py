"""Imports the module of `trainer.model`. Imports neither TensorFlow nor TFX."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from common.errors import ConfigError

_imported: dict[str, int] = {}  # hash of the file of each module, by name


def import_own(model: str) -> ModuleType:
    """Imports the module of `package.module:function`, again if its package has changed.

    A process may train more than once, and the cache key has the sources as they are.

    Raises:
        ConfigError: it cannot be imported.
    """
    name = model.partition(':')[0]
    try:
        before = _loaded(name)
        if any(_imported.get(each, now) != now for each, now in before.items()):
            for each in before:
                del sys.modules[each]
            importlib.invalidate_caches()
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # of the user's code
        raise ConfigError(f'trainer.model: {name} cannot be imported: {summary(error)}') from error
    _imported.update(_loaded(name))
    return module


def _loaded(name: str) -> dict[str, int]:
    """Returns the imported modules of a top-level package, with hashes of their files."""
    package = name.partition('.')[0]
    modules = {
        each: sys.modules[each] for each in [*sys.modules] if f'{each}.'.startswith(package + '.')
    }
    files = {each: getattr(module, '__file__', None) for each, module in modules.items()}
    return {each: hash(Path(file).read_bytes()) if file else 0 for each, file in files.items()}


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
    """Formats an error of the user's code in one line."""
    return f'{type(error).__name__}: {error}'.partition('\n')[0]

"""Hashes of code and weights that the pipeline adds to the cache keys of its nodes.

TFX's cache key covers the inputs, the exec properties and the name of the executor, but no code.
The pipeline therefore passes each node a hash of its code as an exec property, so that a node runs
again when its code changes. The code of a node is its own modules and every module of this project
that they import, directly or indirectly, with the `__init__` of their packages. grimp reads the
imports from the source, also those inside functions, but not those under `if TYPE_CHECKING:`. A
module that is loaded by its name has to be passed explicitly.

Other files are ignored: weights have `content_hash`, and the schema is named after its content.

`pipeline/graph.py` adds the versions of TFX and TensorFlow.

Four kinds of nodes have no such hash. Resolvers and the Pusher always run. Nodes that run only code
of TFX (StatisticsGen, ExampleValidator, ImportSchemaGen) depend on their exec properties; a custom
driver of this project runs before the cache lookup.
ImageExampleGen has `FORMAT` instead, the version of its records. Later runs link the records of a
span, and the splits and duplicates of later spans depend on them, so a code change must not rewrite
them. Ingestion is also the most expensive step to repeat.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any

import grimp

from trainer.model.own_model import source_files
from trainer.model.weights import weights_file

ROOT = Path(__file__).parents[1]
_PACKAGES = ('pipeline', 'components', 'trainer', 'common')


def code_of(*parts: Any) -> str:
    """Hashes the code that a node runs, given by functions, classes or names of modules.

    Raises ModuleNotFoundError if a part is not in a module of this project.
    """
    digest = hashlib.sha256()
    for name in sorted(imported_modules(*parts)):
        digest.update(f'{name} {_digest(ROOT, name)}\n'.encode())
    return digest.hexdigest()[:16]


def imported_modules(*parts: Any) -> set[str]:
    """Dotted names: the modules of parts, as in `code_of`, their imports, and their packages."""
    waiting = {part if isinstance(part, str) else part.__module__ for part in parts}
    graph, found = _imports(), set[str]()
    if unknown := waiting - graph.modules:
        raise ModuleNotFoundError(f'{min(unknown)} is not a module of this project')
    while waiting:
        name = waiting.pop()
        found.add(name)
        package = {name.rpartition('.')[0]} - {''}
        waiting |= (graph.find_modules_directly_imported_by(name) | package) - found
    return found


def content_hash(weights: str) -> str:
    """Hashes a weights file; for weights without a file, such as `imagenet`, returns the name."""
    return file_hash(weights_file(weights)) or weights


def file_hash(path: Path | None) -> str | None:
    """Hashes a file; None if there is none."""
    if path is None or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def model_hash(model: str | None) -> str | None:
    """Hashes the package of `trainer.model`, whose modules may import each other; None without.

    Raises ConfigError if the module cannot be imported or has no source.
    """
    if model is None:
        return None
    digest = hashlib.sha256()
    for name, path in sorted(source_files(model).items()):
        digest.update(f'{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n'.encode())
    return digest.hexdigest()[:16]


@functools.cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph(*_PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


@functools.cache
def _digest(root: Path, name: str) -> str:
    path = root.joinpath(*name.split('.'))
    file = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    return hashlib.sha256(file.read_bytes()).hexdigest()

"""Hashes that are part of the cache key of a node: of the code that it runs, and of a weights file.

TFX's cache key has the inputs, the exec properties and the name of the executor, but no code. So
the pipeline gives each node a hash of its code as an exec property, and a node runs again when its
code changes. The code of a node is the modules that it runs and all modules of this project that
they import, directly or indirectly:

- Imports are read from the source, those inside functions too; all are absolute, which ruff checks.
  `from package import name` counts the module `package.name`, if there is one, and each `__init__`
  on the way.
- Imports under `if TYPE_CHECKING:` do not count. Nothing is imported to find out.
- A module that is started or loaded by its name has to be given.
- Other files do not count: weights have `content_hash`, and the schema is named after its content.

Four kinds of nodes need no such hash. Resolvers and the Pusher always run. Nodes that only run code
of TFX (StatisticsGen, ExampleValidator, ImportSchemaGen, ImportExampleGen, InfraValidator) depend
on their exec properties; a driver of ours runs before the cache is consulted. ImageExampleGen has
`FORMAT`, the version of its records, instead: the records of a span are linked into later runs and
have to stay as they are, because splits and duplicates of later spans depend on them. Ingesting the
same images again after each change of code would cost most and change nothing that `FORMAT` does
not announce.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trainer.model.weights import weights_file

ROOT = Path(__file__).parents[1]
_PACKAGES = ('pipeline', 'components', 'trainer', 'common')


def code_of(*parts: Any) -> str:
    """Hashes the code that a node runs.

    Args:
        parts: functions or classes that the node runs, or names of modules.

    Raises:
        ModuleNotFoundError: a part is not in a module of this project.
    """
    digest = hashlib.sha256()
    for name, file in sorted(imported_modules(*parts).items()):
        digest.update(f'{name} {_read(file).digest}\n'.encode())
    return digest.hexdigest()[:16]


def imported_modules(*parts: Any) -> dict[str, Path]:
    """The modules of parts and what they import from this project: files by dotted names.

    Raises:
        ModuleNotFoundError: a part is not in a module of this project.
    """
    waiting = [part if isinstance(part, str) else part.__module__ for part in parts]
    for name in waiting:
        if _file(ROOT, name) is None:
            raise ModuleNotFoundError(f'{name} is not a module of this project')
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _file(ROOT, name)
        if file is None or name in found:
            continue
        found[name] = file
        waiting += [name.rpartition('.')[0], *_read(file).imports]
    return found


def content_hash(weights: str) -> str:
    """Hashes a weights file, embedded or given; other weights are identified by their name."""
    path = weights_file(weights)
    if path is None or not path.is_file():
        return weights
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class _Source(NamedTuple):
    """A source file.

    Attributes:
        digest: of its content.
        imports: dotted names of modules, or of what is in them.
    """

    digest: str
    imports: tuple[str, ...]


@functools.cache
def _file(root: Path, name: str) -> Path | None:
    """The source of a module or package; None if there is none in this project."""
    if name.partition('.')[0] not in _PACKAGES:
        return None
    path = root.joinpath(*name.split('.'))
    files = (path.with_suffix('.py'), path / '__init__.py')
    return next((file for file in files if file.is_file()), None)


@functools.cache
def _read(file: Path) -> _Source:
    contents = file.read_bytes()
    statements = _statements(ast.parse(contents).body)
    return _Source(hashlib.sha256(contents).hexdigest(), tuple(_imports(statements)))


def _imports(statements: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (each.name for each in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield str(statement.module)
            yield from (f'{statement.module}.{each.name}' for each in statement.names)


def _statements(block: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements that run, nested ones too; expressions, which cannot import, are skipped."""
    for statement in block:
        yield statement
        if isinstance(statement, ast.If) and _is_type_checking(statement.test):
            yield from _statements(statement.orelse)
            continue
        for name in ('body', 'orelse', 'finalbody'):
            yield from _statements(getattr(statement, name, ()))
        for part in (*getattr(statement, 'handlers', ()), *getattr(statement, 'cases', ())):
            yield from _statements(part.body)


def _is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    return 'TYPE_CHECKING' in (getattr(test, 'id', None), getattr(test, 'attr', None))

"""Hashes of code and weights that the pipeline adds to the cache keys of its nodes.

TFX's cache key covers the inputs, the exec properties and the name of the executor, but no code.
The pipeline therefore passes each node a hash of its code as an exec property, so that a node runs
again when its code changes. The code of a node is its own modules and every module of this project
that they import, directly or indirectly:

- Imports are read from the source, including imports inside functions; nothing is executed. All
  are absolute, which ruff checks.
- `from package import name` includes the module `package.name`, if it exists, and the `__init__` of
  every package on the path.
- Imports under `if TYPE_CHECKING:` are ignored.
- A module that is loaded by its name has to be passed explicitly.
- Other files are ignored: weights have `content_hash`, and the schema is named after its content.

`pipeline/execution/launch.py` adds the versions of TFX and TensorFlow when it launches a node.

Four kinds of nodes have no such hash. Resolvers and the Pusher always run. Nodes that run only code
of TFX (StatisticsGen, ExampleValidator, ImportSchemaGen) depend on their exec properties; a custom
driver of this project runs before the cache lookup.
ImageExampleGen has `FORMAT` instead, the version of its records. Later runs link the records of a
span, and the splits and duplicates of later spans depend on them, so a code change must not rewrite
them. Ingestion is also the most expensive step to repeat.
"""

import ast
import functools
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from trainer.model.weights import weights_file

ROOT = Path(__file__).parents[1]
_PACKAGES = ('pipeline', 'components', 'trainer', 'common')


def code_of(*parts: Any) -> str:
    """Hashes the code that a node runs, given by functions, classes or names of modules.

    Raises ModuleNotFoundError if a part is not in a module of this project.
    """
    digest = hashlib.sha256()
    for name, file in sorted(imported_modules(*parts).items()):
        digest.update(f'{name} {_read(file).digest}\n'.encode())
    return digest.hexdigest()[:16]


def imported_modules(*parts: Any) -> dict[str, Path]:
    """Source files by dotted name: the modules of parts, as in `code_of`, and their imports."""
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
    """Hashes a weights file; for weights without a file, such as `imagenet`, returns the name."""
    path = weights_file(weights)
    if path is None or not path.is_file():
        return weights
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class _Source(NamedTuple):
    """A source file."""

    digest: str  # SHA-256 of the file
    imports: tuple[str, ...]  # dotted names of imported modules, or of their members


class _ImportVisitor(ast.NodeVisitor):
    """Collects the imports in a syntax tree, except those under `if TYPE_CHECKING:`."""

    def __init__(self) -> None:
        self.imports: list[str] = []

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.expr):  # expressions hold no imports, and most of the nodes
            super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports.append(str(node.module))
        self.imports += [f'{node.module}.{alias.name}' for alias in node.names]

    def visit_If(self, node: ast.If) -> None:
        names = (getattr(node.test, 'id', None), getattr(node.test, 'attr', None))
        for statement in (*(() if 'TYPE_CHECKING' in names else node.body), *node.orelse):
            self.visit(statement)


@functools.cache
def _file(root: Path, name: str) -> Path | None:
    """Finds the source of a module or package; None if it is not in this project."""
    if name.partition('.')[0] not in _PACKAGES:
        return None
    path = root.joinpath(*name.split('.'))
    files = (path.with_suffix('.py'), path / '__init__.py')
    return next((file for file in files if file.is_file()), None)


@functools.cache
def _read(file: Path) -> _Source:
    contents = file.read_bytes()
    visitor = _ImportVisitor()
    visitor.visit(ast.parse(contents))
    return _Source(hashlib.sha256(contents).hexdigest(), tuple(visitor.imports))

"""Describes the public names of a package in Markdown, from its source, without importing it."""

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import griffe

PACKAGES = ('trainer', 'components', 'pipeline', 'common')


def as_markdown(package: str, root: Path) -> str:
    """The modules of a package, with their public classes and functions that have a docstring."""
    loaded = griffe.load(package, search_paths=[root], docstring_parser='google')
    assert isinstance(loaded, griffe.Module)
    return '\n\n'.join(_module(each) for each in _modules(loaded) if _members(each)) + '\n'


def _modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for _, member in sorted(module.members.items()):
        if isinstance(member, griffe.Module):  # not an imported one, which is an alias
            yield from _modules(member)


def _members(parent: griffe.Module | griffe.Class) -> list[griffe.Class | griffe.Function]:
    return [
        member
        for member in parent.members.values()
        if isinstance(member, griffe.Class | griffe.Function)
        and not member.name.startswith('_')
        and member.docstring
    ]


def _module(module: griffe.Module) -> str:
    parts = [f'## `{module.path}`', _text(module)]
    parts += [
        _class(member) if isinstance(member, griffe.Class) else _function(member)
        for member in _members(module)
    ]
    return '\n\n'.join(parts)


def _class(each: griffe.Class) -> str:
    bases = f'({", ".join(map(str, each.bases))})' if each.bases else ''
    fields = [_field(member) for member in each.members.values() if _is_field(member)]
    body = [_text(each), '\n'.join(fields)]
    body += [_function(method, 'method') for method in _methods(each)]
    return _directive('class', f'{each.path}{bases}', '\n\n'.join(body), colons=5)


def _methods(each: griffe.Class) -> list[griffe.Function]:
    return [member for member in _members(each) if isinstance(member, griffe.Function)]


def _is_field(member: griffe.Object | griffe.Alias) -> TypeGuard[griffe.Attribute]:
    public = isinstance(member, griffe.Attribute) and not member.name.startswith('_')
    return public and member.annotation is not None and 'property' not in member.labels


def _field(each: griffe.Attribute) -> str:
    """A field of a dataclass, named tuple or model, with the comment at it or above it."""
    assert isinstance(each.filepath, Path)
    assert each.lineno
    assert each.endlineno
    lines = each.filepath.read_text(encoding='utf-8').splitlines()
    above = itertools.takewhile(
        lambda line: line.startswith('#'), map(str.strip, reversed(lines[: each.lineno - 1]))
    )
    _, _, behind = lines[each.endlineno - 1].partition('  # ')
    comments = [line.lstrip('# ') for line in reversed([*above])]
    if behind and not behind.startswith(('noqa', 'type:')):
        comments.append(behind)
    about = f': {" ".join(comments)}' if comments else ''
    return f'- `{each.name}: {each.annotation}`{about}'


def _function(each: griffe.Function, kind: str = 'function') -> str:
    signature = each.signature(name=each.path)
    if kind == 'method':
        signature = signature.replace('(self, ', '(').replace('(self)', '()')
    return _directive(kind, signature, _text(each), colons=4)


def _directive(kind: str, signature: str, body: str, colons: int) -> str:
    fence = ':' * colons
    return f'{fence}{{py:{kind}}} {signature}\n\n{body}\n{fence}'


def _text(each: griffe.Object) -> str:
    """The docstring, with its sections as lists of fields."""
    parts = [_section(section) for section in each.docstring.parsed] if each.docstring else []
    return '\n\n'.join(parts)


def _section(section: griffe.DocstringSection) -> str:
    match section:
        case griffe.DocstringSectionText():
            return inspect.cleandoc(section.value)
        case griffe.DocstringSectionParameters() | griffe.DocstringSectionAttributes():
            return '\n'.join(f':param {x.name}: {_joined(x.description)}' for x in section.value)
        case griffe.DocstringSectionReturns() | griffe.DocstringSectionYields():
            return '\n'.join(f':returns: {_joined(x.description)}' for x in section.value)
        case griffe.DocstringSectionRaises():
            return '\n'.join(
                f':raises {x.annotation}: {_joined(x.description)}' for x in section.value
            )
        case _:
            raise ValueError(f'no page shows the docstring section {section.kind.value}')


def _joined(text: str) -> str:
    return ' '.join(text.split())

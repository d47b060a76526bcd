"""Reads the Markdown files of the repository: headings, links, code and tables."""

import functools
import itertools
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
FOLDERS = ('benchmarks', 'common', 'components', 'deploy', 'docs', 'pipeline', 'trainer')
FILES = sorted(
    [*ROOT.glob('*.md'), *(file for name in FOLDERS for file in (ROOT / name).rglob('*.md'))]
)
# The history names what was removed.
CURRENT_FILES = [file for file in FILES if file.name != 'CHANGELOG.md']
_INCLUDE = re.compile(r'^```\{include\} (\S+)', re.MULTILINE)


@dataclass(frozen=True)
class Code:
    """A block of code: its language, empty for an indented one, its text and first line."""

    language: str
    text: str
    line: int

    @property
    def command_lines(self) -> Iterator[str]:
        """Lines without a prompt; a line that ends with a backslash continues on the next one."""
        for line in self.text.replace('\\\n', ' ').splitlines():
            yield line.strip().removeprefix('$ ')


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@functools.cache
def tokens_of(file: Path) -> list[Token]:
    return MarkdownIt('commonmark').enable('table').parse(file.read_text(encoding='utf-8'))


def inline_tokens(file: Path) -> Iterator[tuple[int, Token]]:
    """Yields the parts of paragraphs, headings and cells, with their line."""
    for token in tokens_of(file):
        for child in token.children or ():
            yield (token.map or [0])[0] + 1, child


def inline_code(file: Path) -> Iterator[tuple[int, str]]:
    for line, token in inline_tokens(file):
        if token.type == 'code_inline':
            yield line, token.content


def links(file: Path) -> Iterator[tuple[int, str]]:
    for line, token in inline_tokens(file):
        target = token.attrGet('href') or token.attrGet('src')
        if target:
            yield line, str(target)


def code_blocks(file: Path) -> Iterator[Code]:
    for token in tokens_of(file):
        if token.type in ('fence', 'code_block') and not token.info.startswith('{'):
            language = token.info.split()[0] if token.info else ''
            yield Code(language, token.content, (token.map or [0])[0] + 1)


def tables(file: Path) -> Iterator[list[list[Token]]]:
    """Yields each table: rows of cells, the header first."""
    rows: list[list[Token]] = []
    for number, token in enumerate(tokens_of(file)):
        if token.type == 'table_open':
            rows = []
        elif token.type == 'tr_open':
            rows.append([])
        elif token.type in ('th_open', 'td_open'):
            rows[-1].append(tokens_of(file)[number + 1])
        elif token.type == 'table_close':
            yield rows


def codes_in(cell: Token) -> list[str]:
    return [each.content for each in cell.children or () if each.type == 'code_inline']


@functools.cache
def anchors_of(file: Path) -> frozenset[str]:
    """Anchors of the headings, as on GitHub; a page that includes a file has the file's, too."""
    found: dict[str, int] = {}
    tokens = tokens_of(file)
    for heading, text in itertools.pairwise(tokens):
        if heading.type == 'heading_open':
            parts = [each.content for each in text.children or () if each.type != 'link_open']
            anchor = _anchor(''.join(parts))
            found[anchor] = found.get(anchor, 0) + 1
    numbered = [f'{name}-{n}' if n else name for name, count in found.items() for n in range(count)]
    included = _INCLUDE.findall(file.read_text(encoding='utf-8'))
    inner = [anchors_of((file.parent / name).resolve()) for name in included]
    return frozenset(numbered).union(*inner)


def _anchor(heading: str) -> str:
    words = unicodedata.normalize('NFC', heading).lower().strip()
    return re.sub(r'[^\w\- ]', '', words).replace(' ', '-')


def arguments_of(line: str) -> list[str]:
    """Splits a command line, up to a pipe, a redirection or the next command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars='|<>;&')
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if set(word) <= set('|<>;&'):
            break
        found.append(word)
    return found

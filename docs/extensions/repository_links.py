"""Rewrites links between Markdown files of the repository to links between pages of the site.

A page of `docs/` may include a file from elsewhere, such as `SECURITY.md`. Links to that file then
lead to the page, and links inside it are relative to the file. A link to any other file of the
repository becomes its text, because the site does not contain the file.
"""

import functools
import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
_LINK = re.compile(r'\[(?P<text>[^\[\]]+)\]\((?P<target>[^()\s:#]+)(?P<anchor>#[^()\s]*)?\)')
_INCLUDE = re.compile(r'^```\{include\} (\S+)', re.MULTILINE)


@functools.cache
def pages_of_included_files() -> dict[Path, Path]:
    """The page of each file that a page includes."""
    found = {}
    for page in DOCS.rglob('*.md'):
        for name in _INCLUDE.findall(page.read_text(encoding='utf-8')):
            found[(page.parent / name).resolve()] = page
    return {ROOT / 'README.md': DOCS / 'index.md', **found}


def rewritten(text: str, origin: Path, page: Path) -> str:
    """Returns the Markdown of the file `origin` with links that are right on `page`."""
    pages = pages_of_included_files()

    def link(match: re.Match[str]) -> str:
        target = (origin.parent / match['target']).resolve()
        target = pages.get(target, target)
        if target.is_relative_to(DOCS) or not target.exists():  # MyST reports a broken link
            relative = os.path.relpath(target, page.parent)
            return f'[{match["text"]}]({relative}{match["anchor"] or ""})'
        return match['text']

    return _LINK.sub(link, text)


def _source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    page = Path(app.env.doc2path(docname))
    source[0] = rewritten(source[0], page, page)


def _include_read(_: Sphinx, path: Path, _parent: str, source: list[str]) -> None:
    origin = (DOCS / path).resolve()  # MyST gives no folder of the parent
    source[0] = rewritten(source[0], origin, pages_of_included_files()[origin])


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connects to the events of Sphinx."""
    app.connect('source-read', _source_read)
    app.connect('include-read', _include_read)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

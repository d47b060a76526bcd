"""Links of all Markdown files lead to files and headings that exist."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_files import FILES, anchors_of, links, name_of

_EXTERNAL = re.compile(r'[a-z][a-z0-9+.-]*:', re.IGNORECASE)


def broken_links(file: Path) -> list[str]:
    found = []
    for line, link in links(file):
        if _EXTERNAL.match(link):
            continue
        path, _, anchor = unquote(link).partition('#')
        target = (file.parent / path).resolve() if path else file
        if not target.exists():
            found.append(f'line {line}: {link}: the file does not exist')
        elif anchor and target.suffix == '.md' and anchor not in anchors_of(target):
            found.append(f'line {line}: {link}: the file has no such heading')
    return found


@pytest.mark.parametrize('file', FILES, ids=name_of)
def test_links_lead_to_files_and_headings(file):
    assert broken_links(file) == []


def test_missing_file_and_missing_heading_are_found(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('# One `two`\n[a](#one-two) [b](#three) [c](other.md)\n')

    first, second = broken_links(page)

    assert '#three' in first
    assert 'other.md' in second

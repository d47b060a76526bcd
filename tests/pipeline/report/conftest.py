"""Reads the text and the external URLs of a page."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest


class _Text(HTMLParser):
    """Visible text, and URLs that a browser would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []
        self._hidden = False
        self.feed(page)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words += data.split()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._hidden = tag == 'style'
        values = [value for key, value in attributes if key in ('src', 'href') and value]
        self.fetched += [value for value in values if not value.startswith(('#', 'data:'))]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False


@pytest.fixture(scope='session')
def words() -> Callable[[str], str]:
    """`words(page)`: visible text, with single spaces."""
    return lambda page: ' '.join(_Text(page).words)


@pytest.fixture(scope='session')
def fetched() -> Callable[[str], list[str]]:
    """`fetched(page)`: URLs outside of the page."""
    return lambda page: _Text(page).fetched

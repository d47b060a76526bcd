"""Reads the visible text of a page."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest


class _Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:  # not the style sheet
            self.words += data.split()


@pytest.fixture(scope='session')
def words() -> Callable[[str], str]:
    """`words(page)`: visible text, with single spaces."""
    return lambda page: ' '.join(_Text(page).words)

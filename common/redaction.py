"""Removes the parts of URLs that may be secrets from texts that are printed or recorded."""

import re
from typing import Annotated

from pydantic import PlainSerializer

_MARK = '***'
# A URL in a text; a mark at its end belongs to the text.
_URL = re.compile(r"""[a-zA-Z][a-zA-Z0-9+.-]{0,30}:/\S*[^\s.,:;!?'")\]]""")


def redacted(text: str) -> str:
    """Replaces user name, password, query and fragment of a URL: `https://***@host/a.zip?***`.

    Parameters of the path, such as `;token=1`, are replaced with all that follows. A text that is
    no URL, or has none of these, is unchanged; so is one that is redacted.
    """
    start = text.find(':/')
    if start < 0:
        return text
    place = start + 1  # where user and password begin, after any number of slashes
    while text.startswith('/', place):
        place += 1
    at = text.rfind('@', place)  # the last one: a password may contain slashes
    if at >= 0:
        text = f'{text[:place]}{_MARK}{text[at:]}'
    end = min((found for mark in ';?#' if (found := text.find(mark, start)) >= 0), default=None)
    return text if end is None else f'{text[:end]}?{_MARK}'


def without_secrets(text: str) -> str:
    """`redacted` for each URL in a text such as a message."""
    return _URL.sub(lambda url: redacted(url[0]), text)


def is_redacted(url: str) -> bool:
    """Whether a URL lacks parts that `redacted` has replaced."""
    return redacted(url) == url and (f'/{_MARK}@' in url or url.endswith(f'?{_MARK}'))


# A URL whose dumps, also those in Python objects, are redacted.
RedactedUrl = Annotated[str, PlainSerializer(redacted, return_type=str)]

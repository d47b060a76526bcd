"""Removes the parts of URLs that may be secrets from texts that are printed or recorded."""

import re
from typing import Annotated

from pydantic import PlainSerializer

_MARK = '***'
# Of a URL: what is before the last @ (a password may have slashes), and what follows the path,
# except marks at the end, which belong to the text.
_URL = re.compile(r"""(:/+)(\S*@)?([^\s;?#]*)([;?#]\S*[^\s.,:;!?'")\]])?""")


def redacted(text: str) -> str:
    """Replaces user, password, query and fragment of URLs: `https://***@host/a.zip?***`.

    Parameters of the path, such as `;token=1`, are replaced with all that follows. A text without
    these is unchanged; so is one that is redacted.
    """
    return _URL.sub(_without_secrets, text)


def _without_secrets(url: re.Match[str]) -> str:
    start, user, place, rest = url.groups()
    return f'{start}{f"{_MARK}@" if user else ""}{place}{f"?{_MARK}" if rest else ""}'


def is_redacted(url: str) -> bool:
    """Whether a URL lacks parts that `redacted` has replaced."""
    return redacted(url) == url and (f'/{_MARK}@' in url or f'?{_MARK}' in url)


# A URL whose dumps, also those in Python objects, are redacted.
RedactedUrl = Annotated[str, PlainSerializer(redacted, return_type=str)]

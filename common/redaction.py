"""Removes the parts of URLs that may be secrets from texts that are printed or recorded."""

import re
from typing import Annotated

from pydantic import PlainSerializer

_MARK = '***'
_USER = re.compile(r':(/+).*@', re.DOTALL)  # greedy: a password may contain slashes
# A URL in a text; a mark at its end belongs to the text.
_URL = re.compile(r"""[a-zA-Z][a-zA-Z0-9+.-]*:/\S*[^\s.,:;!?'")\]]""")
_QUERY = re.compile(r'(:/[^;?#]*)[;?#].*', re.DOTALL)  # with parameters of the path


def redacted(text: str) -> str:
    """Replaces user name, password, query and fragment of a URL: `https://***@host/a.zip?***`.

    Parameters of the path, such as `;token=1`, are replaced with all that follows. A text that is
    no URL, or has none of these, is unchanged; so is one that is redacted.
    """
    return _QUERY.sub(rf'\1?{_MARK}', _USER.sub(rf':\1{_MARK}@', text, count=1), count=1)


def without_secrets(text: str) -> str:
    """`redacted` for each URL in a text such as a message."""
    return _URL.sub(lambda url: redacted(url[0]), text)


def is_redacted(url: str) -> bool:
    """Whether a URL lacks parts that `redacted` has replaced."""
    return redacted(url) == url and (f'/{_MARK}@' in url or url.endswith(f'?{_MARK}'))


# A URL whose dumps, also those in Python objects, are redacted.
RedactedUrl = Annotated[str, PlainSerializer(redacted, return_type=str)]

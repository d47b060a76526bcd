"""Addresses of HTTP servers in a recipe, which has no secrets."""

from typing import Annotated

from pydantic import AfterValidator, HttpUrl, TypeAdapter, ValidationError

_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def http_address(text: str) -> str:
    """Returns an address without a slash at its end; raises ValueError if it is none."""
    try:
        url = _URL.validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]['msg']) from None
    if url.username or url.password or url.query or url.fragment:
        raise ValueError(
            'an address should have no user, password, query or fragment; credentials are in '
            'environment variables'
        )
    return str(url).rstrip('/')


HttpAddress = Annotated[str, AfterValidator(http_address)]

"""Pictures small enough to stand in a page themselves."""

import base64
import io

import PIL.Image

_SIDE, _QUALITY = 180, 72  # pixels of the longer side; of a JPEG: about 6 kB


def data_uri(contents: bytes, side: int = _SIDE) -> str:
    """A picture made small, as a `data:` address."""
    buffer = io.BytesIO()
    with PIL.Image.open(io.BytesIO(contents)) as picture:
        small = picture.convert('RGB')
        small.thumbnail((side, side))
        small.save(buffer, 'JPEG', quality=_QUALITY, optimize=True)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'

"""The folder where downloaded and extracted archives are cached."""

import hashlib
import os
from pathlib import Path


def cache_folder() -> Path:
    """`$CATDOG_CACHE`, else `catdog-pipeline` in `$XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get('CATDOG_CACHE')
    try:
        cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError:  # there is no home folder
        cache = Path(os.devnull)
    return Path(folder or Path(cache, 'catdog-pipeline')).absolute()


def cache_name(key: str, name: str) -> str:
    """A name in the cache folder: a hash of the key, and the end of a human-readable name."""
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()
    return f'{digest[:16]}-{name[-60:] or "archive"}'

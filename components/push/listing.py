"""Which versions a serving folder holds. Imports no TensorFlow."""

import re
from pathlib import Path

_LARGEST = 2**63 - 1  # TensorFlow Serving's numbers are int64


def versions_in(serving: Path) -> list[Path]:
    """Folders of the versions, lowest number first; the last one is live."""
    found = [
        path for path in serving.glob('*')
        if re.fullmatch('[0-9]{1,19}', path.name) and int(path.name) <= _LARGEST and path.is_dir()
    ]  # fmt: skip
    return sorted(found, key=lambda path: int(path.name))

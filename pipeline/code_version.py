"""The git commit of this project, if it runs from a checkout."""

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_DESCRIBE = ('describe', '--always', '--exclude=*', '--abbrev=40', '--dirty= + changes')


@functools.cache
def git_commit(root: Path = ROOT) -> str | None:
    """The commit of a checkout, with ` + changes` if tracked files differ from it; None without."""
    if not (root / '.git').exists():  # an installed package may lie in the checkout of another
        return None
    command = ['git', '-C', str(root), *_DESCRIBE]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

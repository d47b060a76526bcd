"""The git commit of this project, if it runs from a checkout."""

import functools
import os
import subprocess
from pathlib import Path

COMMIT = 'catdog_commit'  # custom property of an execution in ML Metadata
ROOT = Path(__file__).parents[1]
_SECONDS = 5.0


@functools.cache
def git_commit(root: Path = ROOT) -> str | None:
    """The commit of a checkout, with ` + changes` if tracked files differ from it.

    Returns None if the folder is not the top of a checkout, has no commit, or git cannot be used.
    """
    if not (root / '.git').exists():  # an installed package may lie in the checkout of another
        return None
    # Variables such as GIT_DIR, which git sets for hooks, name another checkout.
    environment = {name: text for name, text in os.environ.items() if not name.startswith('GIT_')}
    command = ['git', '-C', str(root), 'status', '--porcelain=v2', '--branch']
    try:
        done = subprocess.run(
            [*command, '--untracked-files=no'],
            env={**environment, 'GIT_OPTIONAL_LOCKS': '0'},
            capture_output=True,
            timeout=_SECONDS,
            text=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    lines = done.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith('# branch.oid ')), '')
    if not commit.isalnum():  # `(initial)`
        return None
    changed = any(not line.startswith('#') for line in lines)
    return f'{commit} + changes' if changed else commit

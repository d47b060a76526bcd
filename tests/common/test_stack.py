import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
IMPORTS_TENSORFLOW = """
import os, sys
from common import stack
stack.set_tensorflow_log_level(int(sys.argv[1]))
os.write(2, b'before,')
import tensorflow
os.write(2, b'after')
print(tensorflow.level)
"""


@pytest.mark.parametrize(
    ('level', 'given', 'used', 'shown'),
    [(3, None, 3, False), (1, None, 1, False), (0, None, 0, True), (3, 0, 0, True)],
)
def test_log_level_hides_stderr_of_import(level, given, used, shown, tmp_path):
    """With a module that writes to standard error in place of TensorFlow."""
    module = "import os; level = os.environ['TF_CPP_MIN_LOG_LEVEL']; os.write(2, b'import,')"
    (tmp_path / 'tensorflow.py').write_text(module)
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path}:{REPOSITORY}'}
    environment.pop('TF_CPP_MIN_LOG_LEVEL', None)
    if given is not None:
        environment['TF_CPP_MIN_LOG_LEVEL'] = str(given)
    done = subprocess.run(
        [sys.executable, '-c', IMPORTS_TENSORFLOW, str(level)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f'{used}\n'
    assert done.stderr == ('before,import,after' if shown else 'before,after')

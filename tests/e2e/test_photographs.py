"""The real thing on real photographs, where there are any."""

import json
import subprocess
import sys
from pathlib import Path

RUNNER = Path(__file__).parents[2] / 'pipeline_runner.py'


def test_the_head_alone_tells_photographs_of_cats_and_dogs_apart(
    tmp_path, photographs, imagenet_weights
):
    done = subprocess.run(
        [
            sys.executable,
            RUNNER,
            'run',
            '--config',
            'cats_vs_dogs',
            '--workdir',
            tmp_path,
            '--data',
            photographs,
            '--weights',
            imagenet_weights,
            '--set',
            'trainer.fine_tune.epochs=0',
        ],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    summary = json.loads((tmp_path / 'cats_vs_dogs' / 'last_run.json').read_text())
    assert summary['accuracy'] >= 0.945  # 0.955 is the mean over seeds; a seed is off by 0.005

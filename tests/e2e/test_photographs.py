"""A run on photographs with ImageNet weights."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import RUNNER


@pytest.mark.slow
def test_head_alone_classifies_cats_and_dogs(tmp_path, photographs, imagenet_weights):
    words = ['run', '--config', 'cats_vs_dogs', '--workdir', tmp_path, '--data', photographs]
    words += ['--weights', imagenet_weights, '--set', 'trainer.fine_tune.epochs=0']
    done = subprocess.run([sys.executable, RUNNER, *words], capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    summary = json.loads((tmp_path / 'cats_vs_dogs' / 'last_run.json').read_text())
    assert summary['accuracy'] >= 0.945  # mean over seeds 0.955, standard deviation 0.005


@pytest.mark.slow
def test_order_of_a_source_has_no_effect(tmp_path, photographs, imagenet_weights):
    files = sorted(photographs.glob('*/*.jpg'))[::4]  # sorted by class
    shuffled = np.random.default_rng(0).permutation(files)
    losses = []
    for name, images in {'sorted': files, 'shuffled': shuffled}.items():
        source = tmp_path / name / 'images'
        source.mkdir(parents=True)
        columns = {
            'image': [file.read_bytes() for file in images],
            'label': [file.parent.name for file in images],
        }
        pq.write_table(pa.table(columns), source / 'images.parquet')
        words = ['run', '--config', 'filtered_160_finetune100', '--workdir', tmp_path / name]
        words += ['--data', source, '--weights', imagenet_weights]
        words += ['--set', 'trainer.fine_tune.epochs=1', '--set', 'evaluation.robustness.images=10']
        done = subprocess.run([sys.executable, RUNNER, *words], capture_output=True, text=True)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        (history,) = (tmp_path / name).rglob('history.json')
        stages = json.loads(history.read_text())
        losses.append(np.concatenate([stage['metrics']['val_loss'] for stage in stages]))
    np.testing.assert_allclose(*losses, rtol=1e-3)

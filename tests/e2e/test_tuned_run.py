"""A run with a Tuner on three classes in Parquet, which could start from a live model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from workspace import RUNNER

pytestmark = pytest.mark.slow
CHANGES = (
    'trainer={image_size: 32, alpha: 0.35, weights: random, batch_size: 16, seed: 1, '
    'warm_start: live, feature_extraction: {epochs: 1}, fine_tune: '
    '{from_layer: 0, batch_norm: train, epochs: 10, learning_rate: 0.01}}',
    'evaluation={minimum: 0.0, margin: 1}',
    'data.splits={train: 3, eval: 1, test: 1}',
    'tuner={trials: 2, space: {feature_extraction.learning_rate: [0.001, 0.01], '
    'head.dropout: {low: 0.1, high: 0.4}}}',
)
CLASSES = ('cat', 'dog', 'fox')


@pytest.fixture(scope='module')
def pets(tmp_path_factory, make_image_folder) -> Path:
    """A Parquet file in the format of the Hugging Face hub, with three classes."""
    folder = tmp_path_factory.mktemp('parquet')
    images = make_image_folder(folder / 'pets', per_class=60, classes=CLASSES)
    files = sorted(images.rglob('*.jpg'))
    table = pa.table(
        {
            'image': [{'bytes': file.read_bytes(), 'path': file.name} for file in files],
            'labels': [CLASSES.index(file.parent.name) for file in files],
        }
    )
    names = {'info': {'features': {'labels': {'names': CLASSES, '_type': 'ClassLabel'}}}}
    table = table.replace_schema_metadata({'huggingface': json.dumps(names)})
    pa.parquet.write_table(table, folder / 'train.parquet')
    return folder / 'train.parquet'


@pytest.fixture(scope='module')
def run(pets, tmp_path_factory) -> tuple[str, Path]:
    """The output of the run, and the folder of its recipe."""
    workdir = tmp_path_factory.mktemp('work')
    words = f'run --config parquet_224_dense64 --data {pets} --workdir {workdir} --verbose'.split()
    words += [f'--set={change}' for change in CHANGES]
    done = subprocess.run([sys.executable, RUNNER, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, workdir / 'parquet_224_dense64'


def test_run_starts_from_random_weights_without_a_live_model(run, pets):
    output, _ = run
    assert 'weights: those of the live model, or random' in output
    assert f'{pets}: 180 images, 3 classes (cat, dog, fox)' in output
    assert 'no warm start: no model is live; starting from trainer.weights' in output
    assert re.search(r'^BLESSED and pushed to', output, re.MULTILINE)


def test_trainer_uses_best_hyperparameters(run):
    output, home = run
    best = re.search(r'best of 2 trials: (.*), val_loss', output)[1]
    (written,) = home.glob('artifacts/Tuner/best_hyperparameters/*/*.txt')
    values = json.loads(written.read_text())['values']
    assert set(values) == {'feature_extraction.learning_rate', 'head.dropout'}
    rate = values['feature_extraction.learning_rate']
    assert f'feature_extraction.learning_rate {rate:.3g}' in best
    assert f'trained with the best of the Tuner: {best}' in output


def test_report_page_shows_training_and_network(run):
    _, home = run
    (history,) = home.glob('artifacts/Trainer/model_run/[0-9]*/history.json')
    page = (home / 'last_run.html').read_text()
    assert json.loads(history.read_text())
    assert 'stage 2, fine-tuning' in page
    assert '<th scope="row">head</th><td class="n">3</td>' in page

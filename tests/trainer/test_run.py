"""The Trainer and the Tuner, called as by TFX."""

import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from training_jobs import small_application

from common.features import INDEX, MANIFEST
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.trainer_module import tuner_fn
from trainer import run
from trainer.model import backbone
from trainer.results import Calibration, FineTuningChoice
from trainer.run import run_fn
from trainer.training.calibration import log_loss
from trainer.training.trained_images import read_trained_images, span_key


def _stop(*arguments, **options):
    raise KeyboardInterrupt


def test_trainer_and_tuner_write_their_files(tmp_path, small_job, monkeypatch, caplog):
    monkeypatch.setattr(backbone, '_application', small_application)
    job = small_job(
        augment={'flip': True},
        flip_averaging=True,
        warm_start='live',
        fine_tune={'epochs': 1, 'from_layer': 'Conv_1', 'learning_rate': 1e38},  # far too high
    )
    index = np.zeros(3, IMAGE)
    index['sha256'][:, 0], index['split'] = [3, 2, 1], [0, 1, 2]
    folder = tmp_path / 'span-1'
    folder.mkdir()
    np.save(folder / INDEX, index)
    (folder / MANIFEST).write_text('{"fingerprint": "a"}')
    files = {}
    for name, split in job.splits.items():
        files[name] = shutil.copytree(next(iter(split.tables)).parent, folder / f'Split-{name}')
    fn_args = types.SimpleNamespace(
        custom_config={
            'train': job.config.model_dump(),
            'classes': job.classes,
            'splitting': {'data.group_by': None},
            'serving': '',
            'max_megapixels': 64,
            'code': 'a',
            'pixels': 'b',
            'model': None,
            'tuner': {'trials': 1, 'space': {'batch_size': [4]}},
        },
        hyperparameters=None,
        transform_graph_path=str(Path(job.transform.transform_savedmodel_dir).parent),
        train_files=[f'{files["train"]}/train-*'],
        eval_files=[f'{files["eval"]}/eval-*'],
        base_model=None,
        model_run_dir=str(tmp_path / 'run'),
        serving_model_dir=str(tmp_path / 'model' / 'Format-Serving'),
        working_dir=str(tmp_path / 'trials'),
    )
    search = tuner_fn(fn_args).tuner
    search.search(verbose=0)
    fn_args.hyperparameters = search.get_best_hyperparameters()[0].get_config()
    caplog.set_level('INFO')
    interrupted = tmp_path / 'interrupted'
    with monkeypatch.context() as patch:
        patch.setattr(run, 'train', _stop)
        with pytest.raises(KeyboardInterrupt):
            run_fn(fn_args)
    assert interrupted.is_dir()
    run_fn(fn_args)
    assert 'train images: all activations are in the cache' in caplog.text
    assert not interrupted.exists()
    assert 'stage 2, fine-tuning is discarded: ' in caplog.text
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*.json')}
    names = {f'run/{name}.json' for name in ('history', 'calibration', 'network', 'timings')}
    assert names | {'model/weights/architecture.json'} <= written
    trained_on = read_trained_images(tmp_path / 'model')
    assert trained_on['sha256'][:, 0].tolist() == [2, 3]  # those of train and eval
    assert trained_on['span'].tolist() == [span_key('a')] * 2
    assert (tmp_path / 'run/figures/augmented_views.png').is_file()
    assert [*tmp_path.glob('run/tensorboard/fine_tune/validation/events.*')]
    served = tf.saved_model.load(fn_args.serving_model_dir).signatures['serve_pixels']
    pixels, _ = next(iter(job.splits['eval'].batches(24)))
    logits = served(tf.cast(pixels, tf.float32))['logit'].numpy()
    loss = log_loss(logits, job.splits['eval'].labels, None, calibrated=False)
    calibration = Calibration.model_validate_json((tmp_path / 'run/calibration.json').read_text())
    assert calibration.after.log_loss == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize(
    'change',
    [
        {'train_files': ['/artifacts/7/Split-train/*']},
        {'eval_files': ['/artifacts/7/Split-eval/*']},
        {'transform_graph_path': '/artifacts/8'},
        {'base_model': '/artifacts/9'},
        {'hyperparameters': {'values': {'batch_size': 4}}},
        {'custom_config': {'train': {'seed': 1}, 'code': 'a'}},
        {'custom_config': {'train': {'seed': 0}, 'code': 'b'}},
        {'choice': FineTuningChoice(basis={}, values={'epochs': 4}, reason='')},
    ],
    ids=lambda change: next(iter(change)),
)
def test_training_with_other_inputs_does_not_continue_an_interrupted_one(change):
    keys = ('hyperparameters', 'train_files', 'eval_files', 'transform_graph_path', 'base_model')
    inputs = dict.fromkeys(keys) | {'custom_config': {'train': {'seed': 0}, 'code': 'a'}}
    first, again, other = (
        run._identity(types.SimpleNamespace(**{**inputs, **each}), each.get('choice'))
        for each in ({'model_run_dir': '/run/1'}, {'model_run_dir': '/run/2'}, change)
    )
    assert first == again != other

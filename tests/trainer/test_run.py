"""The Trainer and the Tuner, called as by TFX."""

import types
from pathlib import Path

import tensorflow as tf
from training_jobs import small_mobilenet

from trainer.model import backbone
from trainer.run import run_fn
from trainer.tune import tuner_fn


def test_trainer_and_tuner_write_their_files(tmp_path, small_job, monkeypatch):
    monkeypatch.setattr(backbone, '_build_mobilenet', lambda config: small_mobilenet())
    job = small_job(augment={'flip': True}, warm_start='latest_blessed')
    tuner = {'trials': 1, 'space': {'batch_size': [4]}}
    fn_args = types.SimpleNamespace(
        custom_config={'train': job.config.model_dump(), 'classes': job.classes, 'tuner': tuner},
        hyperparameters=None,
        transform_graph_path=str(Path(job.transform.transform_savedmodel_dir).parent),
        train_files=[*job.splits['train'].files],
        eval_files=[*job.splits['eval'].files],
        base_model=None,
        model_run_dir=str(tmp_path / 'run'),
        serving_model_dir=str(tmp_path / 'model' / 'Format-Serving'),
        working_dir=str(tmp_path / 'trials'),
    )
    search = tuner_fn(fn_args).tuner
    search.search(verbose=0)
    fn_args.hyperparameters = search.get_best_hyperparameters()[0].get_config()
    run_fn(fn_args)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*.json')}
    names = {f'run/{name}.json' for name in ('history', 'calibration', 'network', 'timings')}
    assert names | {'model/weights/architecture.json'} <= files
    assert (tmp_path / 'run/figures/augmented_views.png').is_file()
    assert 'serve_images' in tf.saved_model.load(fn_args.serving_model_dir).signatures

"""Interrupted trainings, which continue with the same result."""

import itertools

import numpy as np
import pytest

from trainer.data import embedding
from trainer.training import backup
from trainer.training.backup import BackupFile
from trainer.training.callbacks import EpochBars
from trainer.training.interruption import resumable
from trainer.training.stages import train

STAGES = {
    'feature_extraction': {'epochs': 3, 'learning_rate': 1e-2, 'patience': 3},
    'fine_tune': {'epochs': 3, 'from_layer': 'Conv_1', 'learning_rate': 1e-3, 'schedule': 'cosine'},
}
FROM_IMAGES = {'rotation': 0.1, 'cached_views': 0}


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(batch)` raises KeyboardInterrupt, as Ctrl-C does, at that batch of a training."""
    monkeypatch.setattr(backup, '_MAX_SHARE', float('inf'))  # a backup after every epoch
    advance = EpochBars.on_train_batch_end

    def at(number):
        numbers = itertools.count(1)

        def advance_or_stop(bars, batch, logs=None):
            if next(numbers) == number:
                raise KeyboardInterrupt
            advance(bars, batch, logs)

        monkeypatch.setattr(EpochBars, 'on_train_batch_end', advance_or_stop)

    yield at
    monkeypatch.undo()


def attempt(job, folder):
    """Trains as `run_fn` does; returns the network and the Training."""
    network = job.build_network()
    inputs = job.cached_inputs(network, folder / 'activations')
    file = BackupFile(folder / 'backup.npz')
    return network, train(job, network, inputs, backups=file)


def weights_of(network):
    return [*network.head.get_weights(), *network.backbone.model.get_weights()]


@pytest.mark.parametrize(
    'changes',
    [
        pytest.param(
            {'augment': {'flip': True, 'rotation': 0.1, 'cached_views': 2}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {'augment': FROM_IMAGES, 'head': {'hidden': [8], 'dropout': 0.5}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {'max_cache_gb': 2e-5, 'fine_tune': {**STAGES['fine_tune'], 'batch_norm': 'train'}},
            marks=pytest.mark.slow,
        ),
    ],
    ids=['views', 'images_and_dropout', 'partial_cache'],
)
def test_continues_with_the_result_of_an_uninterrupted_training(
    small_job, tmp_path, interrupt, caplog, changes
):
    """Interrupted in the second epoch of each stage of three epochs with six batches."""
    caplog.set_level('INFO')
    job = small_job(**{**STAGES, **changes})
    wanted_network, wanted = attempt(job, tmp_path / 'uninterrupted')

    for batch in (8, 12 + 8):
        interrupt(batch)
        with pytest.raises(KeyboardInterrupt):
            attempt(job, tmp_path / 'interrupted')
    interrupt(None)
    network, training = attempt(job, tmp_path / 'interrupted')

    assert 'continues after epoch 1 of stage 1, head, of an interrupted' in caplog.text
    assert 'continues after epoch 1 of stage 2, fine-tuning, of an interrupted' in caplog.text
    for found, expected in zip(training.histories, wanted.histories, strict=True):
        assert (found.name, found.best_epoch) == (expected.name, expected.best_epoch)
        assert (found.loss_before or 0) == pytest.approx(expected.loss_before or 0, rel=1e-3)
        for name, values in expected.metrics.items():
            assert found.metrics[name] == pytest.approx(values, rel=1e-3)
    np.testing.assert_allclose(training.logits, wanted.logits, rtol=1e-3, atol=1e-4)
    for value, expected in zip(weights_of(network), weights_of(wanted_network), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)


def test_takes_complete_splits_of_the_cache(small_job, tmp_path, monkeypatch, caplog):
    """A split whose file was not completed is embedded again."""
    caplog.set_level('INFO')
    job = small_job(augment={'flip': True})
    network = job.build_network()
    whole = job.cached_inputs(network, tmp_path)
    wanted = [values.numpy() for values, _ in whole['fine_tune']['eval'].batches(24)]
    (file,) = tmp_path.glob('eval-fine_tune/*.records')
    file.write_bytes(file.read_bytes()[:-1])
    written = []
    write = embedding.Embedder._write
    monkeypatch.setattr(
        embedding.Embedder,
        '_write',
        lambda embedder, name, split: (written.append(name), write(embedder, name, split)),
    )

    again = job.cached_inputs(network, tmp_path)

    assert written == ['eval']
    assert 'train images: the cache of the interrupted training is used' in caplog.text
    found = [values.numpy() for values, _ in again['fine_tune']['eval'].batches(24)]
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-3)  # float16


def test_finished_or_stopped_stage_is_not_trained_again(small_job, tmp_path, interrupt):
    """The process was killed during the export."""
    job = small_job(**{**STAGES, 'fine_tune': {**STAGES['fine_tune'], 'patience': 1}})
    interrupt(None)
    first, wanted = attempt(job, tmp_path)
    interrupt(1)  # no batch is trained

    again, training = attempt(job, tmp_path)

    assert training.histories == wanted.histories
    for value, expected in zip(again.head.get_weights(), first.head.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.slow
def test_kill_while_a_backup_is_written_leaves_the_one_before(
    small_job, tmp_path, interrupt, monkeypatch
):
    job, savez, numbers = small_job(**STAGES), np.savez, itertools.count(1)

    def write_half(file, **arrays):
        if 'state' in arrays and next(numbers) == 2:
            file.write(b'half')
            raise KeyboardInterrupt
        savez(file, **arrays)

    monkeypatch.setattr(np, 'savez', write_half)
    with pytest.raises(KeyboardInterrupt):
        attempt(job, tmp_path)

    assert BackupFile(tmp_path / 'backup.npz').read().epoch == 1


@pytest.mark.slow
def test_damaged_backup_starts_the_training_again(small_job, tmp_path, interrupt, caplog):
    job = small_job(**STAGES)
    interrupt(8)
    with pytest.raises(KeyboardInterrupt):
        attempt(job, tmp_path)
    file = tmp_path / 'backup.npz'
    for contents in (file.read_bytes()[:-100], b'', bytes(500)):
        file.write_bytes(contents)
        assert BackupFile(file).read() is None
        assert f'{file} is damaged' in caplog.text
        caplog.clear()
    assert not file.exists()
    interrupt(None)
    assert len(attempt(job, tmp_path)[1].histories[0].metrics['loss']) == 3


@pytest.mark.slow
def test_backups_that_would_take_too_long_are_left_out(small_job, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(backup, '_MAX_SHARE', 1e-9)  # the first one is always written
    monkeypatch.setattr(BackupFile, 'write', lambda file, each: written.append(each.epoch))

    attempt(small_job(**STAGES), tmp_path)

    assert written == [1, 1]


def test_folder_of_another_training_is_removed(tmp_path):
    folder = tmp_path / 'interrupted'

    def fail(key):
        with resumable(folder, key) as own:
            (own / key).touch()
            raise RuntimeError

    for key in ('first', 'second', 'second'):
        with pytest.raises(RuntimeError):
            fail(key)
    assert [path.name for path in folder.rglob('*')] == ['second', 'second']
    with resumable(folder, 'second') as own:
        assert (own / 'second').exists()
    assert not folder.exists()

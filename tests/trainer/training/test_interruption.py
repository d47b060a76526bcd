"""Interrupted trainings, which continue after an epoch."""

import itertools
import math

import numpy as np
import pytest
from training_jobs import train_in

from trainer.training import interruption
from trainer.training.callbacks import EpochBars, Validation
from trainer.training.interruption import resumable

STAGES = {
    'feature_extraction': {'epochs': 3, 'learning_rate': 1e-2, 'patience': 3},
    'fine_tune': {'epochs': 3, 'from_layer': 'Conv_1', 'learning_rate': 1e-3, 'schedule': 'cosine'},
}
HEAD = {'feature_extraction': {'epochs': 4}, 'fine_tune': {'epochs': 0}}


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(batch)` raises KeyboardInterrupt, as Ctrl-C does, at that batch of a training.

    Returns the list of the batches that are trained.
    """
    monkeypatch.setattr(interruption, '_MAX_SHARE', float('inf'))  # a backup after every epoch
    advance = EpochBars.on_train_batch_end

    def at(number):
        numbers, done = itertools.count(1), []

        def advance_or_stop(bars, batch, logs=None):
            if next(numbers) == number:
                raise KeyboardInterrupt
            advance(bars, batch, logs)
            done.append(batch)

        monkeypatch.setattr(EpochBars, 'on_train_batch_end', advance_or_stop)
        return done

    return at


def test_continues_in_each_stage_after_the_last_epoch(small_job, tmp_path, interrupt):
    """Interrupted in the second epoch of each stage of three epochs with six batches."""
    job = small_job(**STAGES)
    for batch, trained in ((8, 7), (12 + 8, 12 + 7)):
        done = interrupt(batch)
        with pytest.raises(KeyboardInterrupt):
            train_in(tmp_path, job)
        assert len(done) == trained
    done = interrupt(None)
    network, training = train_in(tmp_path, job)

    assert len(done) == 12
    for history in training.histories:
        assert {len(values) for values in history.metrics.values()} == {3}
        assert history.metrics['loss'][-1] < history.metrics['loss'][0]
    assert training.logits.shape == (24, 1)

    done = interrupt(None)  # the process was killed during the export
    again, repeated = train_in(tmp_path, job)
    assert done == []
    assert repeated.histories == training.histories
    for value, expected in zip(again.head.get_weights(), network.head.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_best_weights_before_the_interruption_are_kept(small_job, tmp_path, interrupt, monkeypatch):
    """The second of four epochs is the best, and the third is interrupted."""
    job = small_job(**HEAD)
    losses, measure = [math.nan, 0.1, 0.9, math.nan], Validation.measure
    kept = []

    def measure_or_pretend(validation):
        _, accuracy, logits = measure(validation)
        kept.append((validation.model.get_weights(), logits))
        return losses[len(kept) - 1], accuracy, logits

    monkeypatch.setattr(Validation, 'measure', measure_or_pretend)
    interrupt(2 * 6 + 2)
    with pytest.raises(KeyboardInterrupt):
        train_in(tmp_path, job)
    interrupt(None)
    network, training = train_in(tmp_path, job)
    assert training.histories[0].best_epoch == 2
    np.testing.assert_equal(training.histories[0].metrics['val_loss'], losses)
    np.testing.assert_array_equal(training.logits, kept[1][1])
    for value, expected in zip(network.head.get_weights(), kept[1][0], strict=True):
        np.testing.assert_array_equal(value, expected)


def test_stage_with_a_damaged_file_starts_again(small_job, tmp_path, interrupt, caplog):
    job = small_job(**HEAD)
    train_in(tmp_path, job)
    damaged = tmp_path / 'state/feature_extraction'
    damaged.write_bytes(damaged.read_bytes()[:-100])
    done = interrupt(None)
    _, training = train_in(tmp_path, job)
    assert len(done) == 24
    assert {len(values) for values in training.histories[0].metrics.values()} == {4}
    assert caplog.text.count('stage 1, head starts again, as its backup is damaged: ') == 1


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
    with resumable(folder, 'first'), resumable(folder, 'second'):
        pass  # two workdirs may share a `pipeline_root`
    assert not folder.exists()

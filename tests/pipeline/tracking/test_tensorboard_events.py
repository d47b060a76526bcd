"""Event files of runs, read as TensorBoard does."""

import html

import markdown
import pytest
import tensorflow as tf
from example_run import example, store
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.config.recipe import load_recipe
from pipeline.tracking import track
from pipeline.tracking.event_files import SUFFIX, confusion_table, write_events

RUN = '2026-11-21T18:04:54.991458'
ODD = ('a|b', '<b>c</b>', '*d*_e_ `f` [g](h)')


def components(*executed):
    names = ('Trainer', 'Evaluator')
    nodes = dict.fromkeys(names, 1)
    return {'nodes': nodes, 'cached': tuple(each for each in names if each not in executed)}


TRAINED = components('Trainer', 'Evaluator')


@pytest.fixture
def add(tmp_path):
    """`add(run_id)`: stores the report of a run and writes its events; returns its folder."""

    def write(run_id=RUN, keep=9, **changes):
        run = example(run_id, **{**TRAINED, **changes})
        store(tmp_path / 'pets', run, keep=keep)
        write_events(tmp_path / 'pets', run)
        return tmp_path / 'pets' / run_id

    return write


@pytest.mark.parametrize(
    'error',
    [OSError('No space left'), tf.errors.ResourceExhaustedError(None, None, 'No space left')],
)
def test_full_disk_is_a_warning_as_the_model_may_be_live(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(track, 'write_events', fail)
    recipe = load_recipe('demo', [('workdir', str(tmp_path))])

    (problem,) = track.track(recipe, example(RUN))

    assert 'No space left' in problem


def scalars_of(folder):
    """Value by step of each scalar."""
    events = EventAccumulator(str(folder), size_guidance={'tensors': 0})
    events.Reload()
    scalars = events.summary_metadata
    return {
        tag: {each.step: float(tf.make_ndarray(each.tensor_proto)) for each in events.Tensors(tag)}
        for tag in events.Tags()['tensors']
        if scalars[tag].plugin_data.plugin_name == 'scalars'
    }


def test_epochs_of_all_stages_are_scalars(add):
    stages = [
        {
            'name': name,
            'metrics': {'loss': [1.5, None], 'val_loss': [0.5, 0.25], 'learning_rate': [rate] * 2},
            'best_epoch': None,
        }
        for name, rate in (('head', 0.5), ('fine-tuning', 0.125))
    ]

    scalars = scalars_of(add(stages=stages))

    assert scalars['loss/train'] == {1: 1.5, 3: 1.5}  # None is NaN
    assert scalars['loss/validation'] == {1: 0.5, 2: 0.25, 3: 0.5, 4: 0.25}
    assert scalars['learning_rate'] == {1: 0.5, 2: 0.5, 3: 0.125, 4: 0.125}
    assert scalars['test/accuracy'] == {4: pytest.approx(0.97, abs=0.001)}


def test_confusion_matrix_is_a_table_of_any_class_names():
    table = confusion_table(example(classes=ODD))

    page = html.unescape(markdown.markdown(table, extensions=['tables']))
    assert page.count('<tr>') == 4
    assert [name for name in ODD if f'<td>{name}</td>' not in page] == []


def test_cached_components_and_second_attempts_write_no_duplicates(add):
    add()
    repeated = add()
    evaluated = scalars_of(add('other test images', **components('Evaluator')))
    cached = add('cached', **components())

    assert set(evaluated) == {'test/accuracy', 'test/auc', 'test/log_loss', 'test/ece'}
    assert not cached.exists()
    assert len(list(repeated.iterdir())) == 1
    assert len(scalars_of(repeated)['loss/train']) == 20


def test_events_are_removed_with_the_report_and_other_files_stay(add, tmp_path):
    (tmp_path / 'pets' / 'mine').mkdir(parents=True)
    (tmp_path / 'pets' / 'mine' / 'events.out.tfevents.1.host').touch()
    for name in ('a', 'b', 'c'):
        folder = add(name, keep=2)

    assert {path.name for path in folder.parent.iterdir()} == {'b', 'c', 'mine', 'reports', 'runs'}
    (events,) = folder.iterdir()
    assert events.name.endswith(SUFFIX)

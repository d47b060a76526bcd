"""Writes event files for TensorBoard: `tensorboard --logdir WORKDIR` shows each run by name."""

import re
from pathlib import Path

import tensorflow as tf

from pipeline.report.page_data import ReportData
from pipeline.report.store import reported_runs
from pipeline.tracking.run_metrics import epoch_metrics, final_metrics, was_executed

SUFFIX = '.run'  # of event files; tells them from those of other programs


def write_events(home: Path, run: ReportData) -> None:
    """Writes the epochs and the test results of a run to a folder with its id in the home.

    Leaves out what is cached, because the event file of an earlier run has it. Removes event files
    of runs whose reports were removed.
    """
    _remove(home, [run.id, *_without_report(home)])
    trained, evaluated = was_executed(run, 'Trainer'), was_executed(run, 'Evaluator')
    if not (trained or evaluated):
        return
    epochs = list(epoch_metrics(run))
    last = max((epoch for _, epoch, _ in epochs), default=0)
    writer = tf.summary.create_file_writer(str(home / run.id), filename_suffix=SUFFIX)
    with writer.as_default():
        for name, epoch, value in epochs if trained else ():
            tf.summary.scalar(name, value, epoch)
        if evaluated:
            for name, value in final_metrics(run).items():
                tf.summary.scalar(name, value, last)
            tf.summary.text('confusion matrix', confusion_table(run), last)
    writer.close()


def confusion_table(run: ReportData) -> str:
    """The confusion matrix as a Markdown table: a row per label, a column per prediction."""
    names = [_escaped(name) for name in run.evaluation.classes]
    rows = [
        ['label', *(f'predicted {name}' for name in names)],
        ['---', *('---:' for _ in names)],
        *(
            [name, *map(str, counts)]
            for name, counts in zip(names, run.evaluation.candidate.confusion, strict=True)
        ),
    ]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _escaped(name: str) -> str:
    """Markdown and HTML show the name unchanged."""
    return re.sub(r'[^\w ]|_', lambda match: f'&#{ord(match[0])};', name)


def _without_report(home: Path) -> list[str]:
    reports = {each.id for each in reported_runs(home)}
    folders = {file.parent.name for file in home.glob(f'*/events.out.tfevents.*{SUFFIX}')}
    return sorted(folders - reports)


def _remove(home: Path, runs: list[str]) -> None:
    for run in runs:
        for file in (home / run).glob(f'events.out.tfevents.*{SUFFIX}'):
            file.unlink()
        if (home / run).is_dir() and not any((home / run).iterdir()):
            (home / run).rmdir()

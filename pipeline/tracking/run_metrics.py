"""Metrics of a run by the names that MLflow shows. Imports no TFX."""

from collections.abc import Iterator

from pipeline.report.page_data import ReportData

# Names by key of the training history; a slash groups plots.
_NAMES = {
    'loss': 'loss/train',
    'val_loss': 'loss/validation',
    'accuracy': 'accuracy/train',
    'val_accuracy': 'accuracy/validation',
    'learning_rate': 'learning_rate',
}


def epoch_metrics(run: ReportData) -> Iterator[tuple[str, int, float]]:
    """Yields name, epoch and value; epochs count from 1 over all stages. Leaves out NaN."""
    before = 0
    for stage in run.stages:
        for key, values in stage.metrics.items():
            for epoch, value in enumerate(values, before + 1):
                if value is not None:
                    yield _NAMES.get(key, key), epoch, value
        before += max(map(len, stage.metrics.values()), default=0)


def final_metrics(run: ReportData) -> dict[str, float]:
    """Metrics of the model on the test split by name, such as `test/accuracy`; without NaN."""
    metrics = run.evaluation.candidate.overall.metrics
    return {f'test/{key}': each.value for key, each in metrics.items() if each.value is not None}

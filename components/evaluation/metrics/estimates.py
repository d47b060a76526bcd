"""Metrics with 95 % confidence intervals, and curves, of a model's predictions.

The values are those of scikit-learn. The intervals are closed forms: equal predictions give equal
intervals. See `docs/decisions/0013-metrics-and-intervals.md`. Log loss, Brier score, calibration
error and macro F1 have none: the closed forms known for them cover the true value too rarely on
small or nearly perfect splits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sklearn.metrics

from components.evaluation import results
from components.evaluation.results import Bucket, Estimate, wilson

_CLOSEST = 1e-7  # distance to 0 and 1 to which the exported model clips probabilities
_BUCKETS = 10  # of confidence, of equal width
_POINTS = 200  # maximum per curve
_TOP = 5


class Judged(NamedTuple):
    """Predictions of a model for some images."""

    labels: np.ndarray  # int [images]
    predicted: np.ndarray  # int [images], -1 where the prediction is NaN
    probabilities: np.ndarray  # float32 [images, classes]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.probabilities.shape[1]

    @property
    def finite(self) -> np.ndarray:
        """Images whose prediction is not NaN, bool [images]."""
        return self.predicted >= 0

    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """Truths and scores of binary decisions, bool and float32 [n].

        For two classes "is it the second?", for more "is it class k?" for each class.
        """
        first = 1 if self.classes == 2 else 0
        truths = self.labels[:, np.newaxis] == np.arange(first, self.classes)
        return truths.ravel(), self.probabilities[:, first:].ravel()


def estimates(judged: Judged) -> dict[str, Estimate]:
    """Returns the metrics by names of `results.METRICS`.

    Metrics that compare classes are left out if all images have one label, and those of many
    classes if there are few. All values are None if any prediction is NaN.
    """
    several = len(np.unique(judged.labels)) > 1
    names = [
        name
        for name in results.METRICS
        if judged.classes >= results.LEAST_CLASSES.get(name, 2)
        and (several or name not in results.OF_SEVERAL_LABELS)
    ]
    if not judged.finite.all():
        return dict.fromkeys(names, Estimate(value=None))
    return {name: _FORMULAS[name](judged) for name in names}


def _accuracy(judged: Judged) -> Estimate:
    return wilson(int((judged.labels == judged.predicted).sum()), len(judged.labels))


def _top_5_accuracy(judged: Judged) -> Estimate:
    hits = sklearn.metrics.top_k_accuracy_score(
        judged.labels,
        judged.probabilities,
        k=_TOP,
        normalize=False,
        labels=np.arange(judged.classes),
    )
    return wilson(float(hits), len(judged.labels))


def _balanced_accuracy(judged: Judged) -> Estimate:
    """Mean recall of the classes that have images.

    The interval combines the Wilson intervals of the recalls by the method of variance estimates
    recovery: Zou and Donner, "Construction of confidence limits about effect measures" (2008).
    """
    right = judged.labels[judged.labels == judged.predicted]
    images, correct = (
        np.bincount(each, minlength=judged.classes) for each in (judged.labels, right)
    )
    recalls = [wilson(*each) for each in zip(correct.tolist(), images.tolist(), strict=True)]
    ends = [(each.low, each.value, each.high) for each in recalls if each.value is not None]
    low, value, high = np.array(ends, float).T
    mean = float(value.mean())
    below, above = (float(np.sqrt(((end - value) ** 2).sum())) / len(value) for end in (low, high))
    return Estimate(value=mean, low=mean - below, high=mean + above)


def _macro_f1(judged: Judged) -> Estimate:
    """Mean F1 of the classes that have images."""
    score = sklearn.metrics.f1_score(
        judged.labels,
        judged.predicted,
        labels=np.unique(judged.labels),
        average='macro',
        zero_division=0,
    )
    return Estimate(value=float(score))


def _auc(judged: Judged) -> Estimate:
    """Area under the ROC curve; one-vs-rest micro average of three or more classes.

    The interval treats it as a proportion of the positives, or of the negatives if they are fewer.
    So the variance is the largest possible: Birnbaum and Klose, "Bounds for the variance of the
    Mann-Whitney statistic" (1957). With Wilson's formula it holds near 1.
    """
    truths, scores = judged.decisions()
    fewer = int(min(truths.sum(), (~truths).sum()))
    return wilson(sklearn.metrics.roc_auc_score(truths, scores) * fewer, fewer)


def _pr_auc(judged: Judged) -> Estimate:
    """Average precision.

    The interval treats it as a proportion of the positives: Boyd, Eng and Page, "Area under the
    precision-recall curve: point estimates and confidence intervals" (2013), with Wilson's formula.
    """
    truths, scores = judged.decisions()
    positives = int(truths.sum())
    return wilson(sklearn.metrics.average_precision_score(truths, scores) * positives, positives)


def _log_loss(judged: Judged) -> Estimate:
    of_label = judged.probabilities[np.arange(len(judged.labels)), judged.labels]
    losses = -np.log(np.clip(of_label.astype(float), _CLOSEST, 1))
    return Estimate(value=float(losses.mean()))


def _brier(judged: Judged) -> Estimate:
    """Mean squared error: of the second of two classes, or summed over three or more."""
    truths, scores = judged.decisions()
    return Estimate(value=float(((scores - truths) ** 2.0).sum()) / len(judged.labels))


def _calibration_error(judged: Judged) -> Estimate:
    """Expected calibration error: Naeini, Cooper and Hauskrecht (2015)."""
    gaps = [each.images * abs(each.confidence - each.share) for each in _calibration(judged)]
    return Estimate(value=sum(gaps) / len(judged.labels))


_FORMULAS: dict[str, Callable[[Judged], Estimate]] = {
    results.ACCURACY: _accuracy,
    results.TOP_5_ACCURACY: _top_5_accuracy,
    results.BALANCED_ACCURACY: _balanced_accuracy,
    results.MACRO_F1: _macro_f1,
    results.AUC: _auc,
    results.PR_AUC: _pr_auc,
    results.LOG_LOSS: _log_loss,
    results.BRIER: _brier,
    results.ECE: _calibration_error,
}


def curves(judged: Judged) -> results.Curves:
    """Returns the curves; ROC is empty without two classes, precision-recall without positives."""
    judged = Judged(*(each[judged.finite] for each in judged))
    truths, scores = judged.decisions()
    found: dict[str, results.Points] = {}
    if truths.any() and not truths.all():
        wrong, right, _ = sklearn.metrics.roc_curve(truths, scores, drop_intermediate=False)
        found['roc'] = _downsampled(wrong, right)
    if truths.any():
        precision, recall, _ = sklearn.metrics.precision_recall_curve(truths, scores)
        found['precision_recall'] = _downsampled(recall[::-1], precision[::-1])
    return results.Curves(**found, calibration=_calibration(judged))


def _calibration(judged: Judged) -> tuple[Bucket, ...]:
    """Buckets of confidence with images, of the second of two classes or the predicted class."""
    right, confidence = judged.labels, judged.probabilities[:, -1].astype(float)
    if judged.classes > 2:
        right = judged.probabilities.argmax(axis=1) == judged.labels
        confidence = judged.probabilities.max(axis=1).astype(float)
    number = (confidence * _BUCKETS).astype(int).clip(0, _BUCKETS - 1)
    return tuple(
        Bucket(
            confidence=float(confidence[bucket].mean()),
            share=float(right[bucket].mean()),
            images=int(bucket.sum()),
        )
        for bucket in (number == each for each in np.unique(number))
    )


def _downsampled(x: np.ndarray, y: np.ndarray) -> results.Points:
    """At most `_POINTS` points of a curve, including the first and the last."""
    kept = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    return tuple(zip(x[kept].tolist(), y[kept].tolist(), strict=True))

"""Evaluation results, read by the gate, the report and the commands."""

import math
from statistics import NormalDist

from pydantic import Field

from common.strict_model import StrictModel

# Names of the metrics.
ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC = 'accuracy', 'balanced_accuracy', 'auc', 'pr_auc'
LOG_LOSS, BRIER, ECE = 'log_loss', 'brier', 'ece'
METRICS = (ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC, LOG_LOSS, BRIER, ECE)
IMAGES, CONFUSION, CURVES = 'images', 'confusion', 'curves'  # further metrics in TFMA's files
OVERALL = ''  # name and feature of the slice of all images
ROBUSTNESS_FILE = 'robustness.json'  # in the artifact's folder: a Robustness
Z = NormalDist().inv_cdf(0.975)  # of a 95 % confidence interval

Points = tuple[tuple[float, float], ...]


class Estimate(StrictModel):
    """A metric with its 95 % confidence interval."""

    value: float | None  # None if it is NaN
    low: float | None = None  # None if there is no interval
    high: float | None = None


def wilson(successes: float, trials: int) -> Estimate:
    """Returns a proportion and its 95 % score interval; without a value if there are no trials.

    Follows Wilson, "Probable inference, the law of succession, and statistical inference" (1927):
    unlike the normal approximation it stays within 0 and 1, and covers for few trials and for
    proportions near 1.
    """
    if not trials:
        return Estimate(value=None)
    share, weight = successes / trials, Z**2 / trials
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return Estimate(value=share, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


class SliceResult(StrictModel):
    """Metrics of a model on a slice of the test split."""

    feature: str  # one of `config.SLICED_BY`; empty for all images
    name: str  # such as 'cats' or 'dark'; empty for all images
    images: int
    metrics: dict[str, Estimate]  # without undefined ones, such as the AUC of one class


class Bucket(StrictModel):
    """Bin of a calibration curve."""

    confidence: float  # mean predicted probability of the plotted class
    share: float  # fraction of the images that belong to this class
    images: int


class Curves(StrictModel):
    """Curves: of the second of two classes, or the one-vs-rest micro average of three or more."""

    roc: Points  # (false positive rate, true positive rate), from (0, 0) to (1, 1)
    precision_recall: Points  # (recall, precision)
    calibration: tuple[Bucket, ...]  # by confidence; of three or more classes, the predicted one


class ModelResult(Curves):
    """Metrics and curves of one model."""

    slices: tuple[SliceResult, ...]  # the first has all images
    confusion: tuple[tuple[int, ...], ...]  # images by label and prediction, [classes][classes]

    @property
    def overall(self) -> SliceResult:
        """Metrics on all images."""
        return next(each for each in self.slices if each.feature == OVERALL)


class Evaluation(StrictModel):
    """Evaluation of a model on the test split."""

    classes: tuple[str, ...]  # by label
    threshold: float  # probability from which the second of two classes is predicted
    candidate: ModelResult
    baseline: ModelResult | None = None  # the last blessed model on the same images, if any


class Mistake(StrictModel):
    """A confidently misclassified test image."""

    filename: str
    label: str  # true class
    answer: str  # predicted class
    probability: float  # of the predicted class
    picture: str  # PNG, relative to the artifact's folder
    explanation: str | None  # PNG with a Grad-CAM overlay; None if the model has no such signature


class CorruptedResult(StrictModel):
    """Accuracy on test images with one corruption, such as 'noise'."""

    corruption: str
    severity: int = Field(ge=1, le=3)
    images: int
    accuracy: Estimate


class Robustness(StrictModel):
    """Corruption robustness and the most confident mistakes."""

    clean: Estimate | None  # accuracy on the same images without corruption; None if not measured
    corrupted: tuple[CorruptedResult, ...]  # one per corruption and severity
    mistakes: tuple[Mistake, ...]  # most confident first

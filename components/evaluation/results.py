"""Evaluation results, read by the gate, the report and the commands."""

import math
from statistics import NormalDist
from typing import Literal

from pydantic import Field, NonNegativeInt

from common.strict_model import StrictModel

# Names of the metrics.
ACCURACY, TOP_5_ACCURACY, BALANCED_ACCURACY = 'accuracy', 'top_5_accuracy', 'balanced_accuracy'
MACRO_F1, AUC, PR_AUC = 'macro_f1', 'auc', 'pr_auc'
LOG_LOSS, BRIER, ECE = 'log_loss', 'brier', 'ece'
LEAST_CLASSES = {TOP_5_ACCURACY: 6, MACRO_F1: 3}  # with fewer classes there is no such metric
LOWER_IS_BETTER = (LOG_LOSS, BRIER, ECE)
OF_SEVERAL_LABELS = (BALANCED_ACCURACY, MACRO_F1, AUC, PR_AUC, ECE)  # undefined for one label
METRICS = (
    *(ACCURACY, TOP_5_ACCURACY, BALANCED_ACCURACY, MACRO_F1, AUC, PR_AUC),
    *(LOG_LOSS, BRIER, ECE),
)
# Further metrics in TFMA's files.
IMAGES, CONFUSION, CURVES = 'images', 'confusion', 'curves'
LOW, HIGH = '_low', '_high'  # after the name of a metric: the ends of its 95 % interval
CANDIDATE, REFERENCE = 'candidate', 'reference'  # names of the models
OVERALL = ''  # name and feature of the slice of all images
ROBUSTNESS_FILE = 'robustness.json'  # in the artifact's folder: a Robustness
Z = NormalDist().inv_cdf(0.975)  # of a 95 % confidence interval

ROUNDING = 1e-9  # tolerance of limits for means of shares
LEAST_GROUPS = 20  # of test images, to decide a comparison

Outcome = Literal['better', 'not worse', 'same', 'undecided', 'worse']
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

    roc: Points = ()  # (false positive rate, true positive rate), from (0, 0) to (1, 1)
    precision_recall: Points = ()  # (recall, precision)
    calibration: tuple[Bucket, ...] = ()  # by confidence; of three or more classes, the predicted


class ModelResult(Curves):
    """Metrics and curves of one model."""

    slices: tuple[SliceResult, ...]  # the first has all images
    # Images by label and prediction, [classes][classes]
    confusion: tuple[tuple[NonNegativeInt, ...], ...]

    @property
    def overall(self) -> SliceResult:
        """Metrics on all images."""
        return next(each for each in self.slices if each.feature == OVERALL)


class Evaluation(StrictModel):
    """Evaluation of a model on the test split."""

    classes: tuple[str, ...]  # by label
    threshold: float  # probability from which the candidate predicts the second of two classes
    candidate: ModelResult
    reference: ModelResult | None = None  # the reference model on the same images, if any


class Comparison(StrictModel):
    """A candidate and the reference model on the same images; all bounds are one-sided."""

    metric: str = ACCURACY
    outcome: Outcome
    images: int
    groups: int | None = None  # of images that are not independent; None without groups
    better: int  # images that only the candidate classifies correctly
    worse: int  # images that only the reference does
    candidate: float  # the metric
    reference: float
    low: float  # 95 % bounds of the candidate's metric minus that of the reference
    high: float
    needed: int | None = None  # further images like these that decide; None if it is decided

    def describe_changes(self) -> str:
        """One clause: `3 images got better, 6 worse`."""
        if not self.better + self.worse:
            return 'no image got better or worse'
        return (
            f'{self.better or "no"} image{"s" * (self.better != 1)} got better, '
            f'{self.worse or "none"} worse'
        )

    def describe_needed(self) -> str:
        """One clause on how many images or groups decide; empty if it is decided or not known."""
        if self.groups is not None and self.groups < LEAST_GROUPS:
            return f'the images are of {self.groups} groups, and {LEAST_GROUPS} decide'
        if self.needed is None:
            return ''
        return f'about {self.needed:,} more images like these decide'


class ShownImage(StrictModel):
    """A test image that reports show."""

    filename: str
    label: str  # true class
    predicted: str | None  # class that the candidate predicts; None for NaN
    probability: float | None  # of the predicted class
    before: str | None = None  # class that the reference model predicts
    picture: str  # PNG, relative to the artifact's folder
    explanation: str | None = None  # PNG with a Grad-CAM overlay of a mistake, if the model has it


class CorruptedResult(StrictModel):
    """Accuracy on test images with one corruption, such as 'noise'."""

    corruption: str
    severity: int = Field(ge=1, le=3)
    accuracy: Estimate
    loss: float  # of accuracy by the corruption


class Robustness(StrictModel):
    """Corruption robustness, the most confident mistakes, and images that changed."""

    mistakes: tuple[ShownImage, ...]  # most confident first
    worse: tuple[ShownImage, ...] = ()  # the first ones in the order of their digests
    better: tuple[ShownImage, ...] = ()
    clean: Estimate | None = None  # accuracy on the images before corruption; None if not measured
    images: int = 0  # number of these; the first ones in the order of their digests
    corrupted: tuple[CorruptedResult, ...] = ()  # one per corruption and severity

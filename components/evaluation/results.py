"""Evaluation results, read by the gate, the report and the commands."""

from pydantic import Field

from common.strict_model import StrictModel

# Names of the metrics.
ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC = 'accuracy', 'balanced_accuracy', 'auc', 'pr_auc'
LOG_LOSS, BRIER, ECE = 'log_loss', 'brier', 'ece'
METRICS = (ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC, LOG_LOSS, BRIER, ECE)
IMAGES, CURVES = 'images', 'curves'  # further metrics: a count, and Curves as JSON
OVERALL = ''  # name and feature of the slice of all images

Points = tuple[tuple[float, float], ...]


class Estimate(StrictModel):
    """A metric with its 95 % confidence interval.

    Attributes:
        value: point estimate; None if it is NaN.
        low: lower bound; None if there is no interval.
        high: upper bound.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class SliceResult(StrictModel):
    """Metrics of a model on a slice of the test split.

    Attributes:
        feature: slicing feature, one of `components.evaluation.config.SLICED_BY`; empty for all
            images.
        name: name of the slice, such as 'cats' or 'dark'; empty for all images.
        images: number of images.
        metrics: estimates by names of METRICS, without those that are undefined for the slice,
            such as the AUC of one class.
    """

    feature: str
    name: str
    images: int
    metrics: dict[str, Estimate]


class Bucket(StrictModel):
    """Bin of a calibration curve.

    Attributes:
        confidence: mean predicted probability of the plotted class.
        share: fraction of the images that belong to this class.
        images: number of images.
    """

    confidence: float
    share: float
    images: int


class Curves(StrictModel):
    """Curves as in `ModelResult`; the confusion matrix is sparse: (label, prediction, images)."""

    confusion: tuple[tuple[int, int, int], ...]
    roc: Points
    precision_recall: Points
    calibration: tuple[Bucket, ...]


class ModelResult(StrictModel):
    """Metrics and curves of one model.

    Attributes:
        slices: the first has all images.
        confusion: number of images by label and prediction, [classes][classes].
        roc: points (false positive rate, true positive rate), from (0, 0) to (1, 1): of the second
            of two classes, or the one-vs-rest micro average of three or more.
        precision_recall: points (recall, precision) of the same classes.
        calibration: bins of rising confidence: of the second of two classes, or of the predicted
            one of three or more.
    """

    slices: tuple[SliceResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    roc: Points
    precision_recall: Points
    calibration: tuple[Bucket, ...]

    @property
    def overall(self) -> SliceResult:
        """Metrics on all images."""
        return next(each for each in self.slices if each.feature == OVERALL)


class Evaluation(StrictModel):
    """Evaluation of a model on the test split.

    Attributes:
        classes: class names by label.
        threshold: probability from which the second of two classes is predicted.
        candidate: results of the new model.
        baseline: results of the last blessed model on the same images, if any.
    """

    classes: tuple[str, ...]
    threshold: float
    candidate: ModelResult
    baseline: ModelResult | None = None


class Mistake(StrictModel):
    """A confidently misclassified test image.

    Attributes:
        filename: filename feature of the record.
        label: true class.
        answer: predicted class.
        probability: predicted probability of this class.
        picture: PNG of the image, relative to the artifact's folder.
        explanation: PNG with a Grad-CAM overlay; None if the model has no such signature.
    """

    filename: str
    label: str
    answer: str
    probability: float
    picture: str
    explanation: str | None


class CorruptedResult(StrictModel):
    """Accuracy on test images with one corruption, such as 'noise'."""

    corruption: str
    severity: int = Field(ge=1, le=3)
    images: int
    accuracy: Estimate


class Robustness(StrictModel):
    """Corruption robustness and the most confident mistakes.

    Attributes:
        clean: accuracy on the same images without corruption; None if not measured.
        corrupted: one result per corruption and severity.
        mistakes: most confident first.
    """

    clean: Estimate | None
    corrupted: tuple[CorruptedResult, ...]
    mistakes: tuple[Mistake, ...]


ROBUSTNESS_FILE = 'robustness.json'  # in the artifact's folder: a Robustness

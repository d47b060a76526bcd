"""What an evaluation found, as gate, report and command line read it. Imports no TFX."""

from pydantic import Field

from common.strict_model import StrictModel

# Names of the metrics, the same for two classes and for more.
ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC = 'accuracy', 'balanced_accuracy', 'auc', 'pr_auc'
LOG_LOSS, BRIER, ECE = 'log_loss', 'brier', 'ece'
METRICS = (ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC, LOG_LOSS, BRIER, ECE)
IMAGES, CURVES = 'images', 'curves'  # metrics beside METRICS: a number, and Curves as JSON
OVERALL = ''  # the name and the feature of the slice that holds all images

Points = tuple[tuple[float, float], ...]


class Estimate(StrictModel):
    """A number that was measured on some images, and where the true one probably lies.

    Attributes:
        value: the measure; None where it is no number, as for a model that answers NaN.
        low: lower end of the 95 % confidence interval; None where none can be given.
        high: upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


class SliceResult(StrictModel):
    """How a model does on a part of the test split.

    Attributes:
        feature: what the images are sliced by: one of `components.evaluation.config.SLICED_BY`;
            empty for all of them.
        name: of the slice, such as 'cats' or 'dark'; empty for all images.
        images: how many.
        metrics: estimates by names of METRICS; what has no meaning in a slice is left out, such as
            the AUC of one class.
    """

    feature: str
    name: str
    images: int
    metrics: dict[str, Estimate]


class Bucket(StrictModel):
    """Images whose answers are about as certain.

    Attributes:
        confidence: mean probability that they were given, of the class that is plotted.
        share: of them that are of this class.
        images: how many.
    """

    confidence: float
    share: float
    images: int


class Curves(StrictModel):
    """What is plotted of a model: as in `ModelResult`, the confusion as (label, answer, images)."""

    confusion: tuple[tuple[int, int, int], ...]
    roc: Points
    precision_recall: Points
    calibration: tuple[Bucket, ...]


class ModelResult(StrictModel):
    """How one model does.

    Attributes:
        slices: the first holds all images.
        confusion: images by label and by answer, [classes][classes].
        roc: points (false positive rate, true positive rate), from (0, 0) to (1, 1); of two classes
            for the second, of more the mean over all decisions "is it class k?" (micro average).
        precision_recall: points (recall, precision), in the same way.
        calibration: buckets of rising confidence; for two classes of the probability of the
            second, for more of the likeliest class.
    """

    slices: tuple[SliceResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    roc: Points
    precision_recall: Points
    calibration: tuple[Bucket, ...]

    @property
    def overall(self) -> SliceResult:
        """On all images."""
        return next(each for each in self.slices if each.feature == OVERALL)


class Evaluation(StrictModel):
    """What was measured on the test split.

    Attributes:
        classes: names in the order of the labels.
        threshold: probability from which on the second of two classes is said.
        candidate: the new model.
        baseline: the last blessed model on the same images; None if there is none.
    """

    classes: tuple[str, ...]
    threshold: float
    candidate: ModelResult
    baseline: ModelResult | None = None


class Mistake(StrictModel):
    """A test image that the model was sure of, and wrong.

    Attributes:
        filename: as in the record.
        label: the name of its class.
        answer: the class that the model said.
        probability: that it gave to its answer.
        picture: PNG of the image, relative to the folder of the results.
        explanation: PNG of the same with a Grad-CAM overlay for the answer; None if the model has
            no signature for it.
    """

    filename: str
    label: str
    answer: str
    probability: float
    picture: str
    explanation: str | None


class CorruptedResult(StrictModel):
    """Accuracy on copies of test images that were made worse in one way.

    Attributes:
        corruption: such as 'noise'.
        severity: 1, 2 or 3.
        images: how many.
        accuracy: with its interval.
    """

    corruption: str
    severity: int = Field(ge=1, le=3)
    images: int
    accuracy: Estimate


class Robustness(StrictModel):
    """What was found by looking at single test images.

    Attributes:
        clean: accuracy on the same images as they are; None if no copies were asked for.
        corrupted: a row for each corruption and severity.
        mistakes: the most confident first.
    """

    clean: Estimate | None
    corrupted: tuple[CorruptedResult, ...]
    mistakes: tuple[Mistake, ...]


ROBUSTNESS_FILE = 'robustness.json'  # in the artifact's folder: a Robustness

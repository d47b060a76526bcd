"""Data of a report, stored as JSON next to its page for comparisons. Imports no TFX."""

import dataclasses
import datetime
from typing import Any

from pydantic import Field

from common.strict_model import StrictModel
from components.evaluation.gate.verdict import Verdict
from components.evaluation.results import Evaluation, Mistake, Robustness
from components.lite_converter.lite_results import LiteResult
from components.serving_check.measurements import Measurements
from trainer.model.description import NetworkPart


class ModelStatus(StrictModel):
    """Gate decision and push of the model, at the end of the run.

    Attributes:
        blessed: whether the gate or a manual override blessed the model.
        verdict: the result of each rule.
        live: whether a model server loads this model.
        manual_override: the manual override, in words; None if there is none.
        unchanged: whether an earlier run had pushed the model.
        version: the version of the model; None if it was not pushed.
        folder: the folder of that version.
        since: time of the push.
        live_version: the version that a model server loads; None if there is none.
    """

    blessed: bool
    verdict: Verdict
    live: bool
    manual_override: str | None = None
    unchanged: bool = False
    version: str | None = None
    folder: str | None = None
    since: datetime.datetime | None = None
    live_version: str | None = None

    @property
    def word(self) -> str:
        """`Live`, `Not live`, or `Blessed, not live`."""
        if self.live:
            return 'Live'
        return 'Blessed, not live' if self.blessed else 'Not live'


class QuarantinedImage(StrictModel):
    """An unusable image."""

    source: str
    reason: str
    detail: str


class DataSummary(StrictModel):
    """The images of a run.

    Attributes:
        classes: class names, in label order.
        counts: number of images by split and class, over all spans.
        seen: number of images read; None if the run began with ready TFRecords.
        bad: number of quarantined images by reason.
        clauses: skipped and converted images, in words.
        examples: some quarantined images.
        lists: files that list all quarantined images.
    """

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    seen: int | None = None
    bad: dict[str, int] = Field(default_factory=dict)
    clauses: tuple[str, ...] = ()
    examples: tuple[QuarantinedImage, ...] = ()
    lists: tuple[str, ...] = ()


class Stage(StrictModel):
    """A training stage, as written by `trainer.training.stage_history`."""

    name: str
    metrics: dict[str, tuple[float | None, ...]]
    best_epoch: int | None
    patience: int
    overfitting: str | None


class ComponentTime(StrictModel):
    """Run time of a component."""

    name: str
    seconds: float
    cached: bool


class ModelReference(StrictModel):
    """Another model: its version, if it was pushed, and the run that trained it."""

    version: str | None
    run: str


class Origin(StrictModel):
    """Lineage of the model.

    Attributes:
        trained_by: the run that trained it; an earlier run if the Trainer was cached.
        trained: end of the training.
        spans: fingerprints by span number.
        code: hash of the trainer's and the components' code.
        weights: initial weights of the backbone without a warm start.
        parents: the model of the warm start, the parent of that model, and so on.
        baseline: the blessed model that the gate compared it with.
        tuned: URI of the Tuner's best hyperparameters.
    """

    trained_by: str
    trained: datetime.datetime | None
    spans: dict[int, str]
    code: str
    weights: str
    parents: tuple[ModelReference, ...] = ()
    baseline: ModelReference | None = None
    tuned: str | None = None


class ReportData(StrictModel):
    """All data of a report. Parts that a run or an earlier version lacks are None or empty.

    Attributes:
        recipe: name of the recipe.
        description: description of the recipe.
        run_id: id of the pipeline run.
        made: time of the report.
        seconds: total run time, with imports.
        config: all keys of the recipe.
        warnings: drift above the thresholds, one clause each.
    """

    recipe: str
    description: str
    run_id: str
    made: datetime.datetime
    seconds: float
    config: dict[str, Any]
    standing: ModelStatus
    data: DataSummary | None = None
    evaluation: Evaluation | None = None
    robustness: Robustness | None = None
    serving: Measurements | None = None
    lite: LiteResult | None = None
    stages: tuple[Stage, ...] = ()
    network: tuple[NetworkPart, ...] = ()
    components: tuple[ComponentTime, ...] = ()
    origin: Origin | None = None
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class MistakeImages:
    """A misclassified image and its heat map as `data:` URLs; None if the file was removed."""

    mistake: Mistake
    picture: str | None
    explanation: str | None


@dataclasses.dataclass(frozen=True)
class PageImages:
    """Images of a page as `data:` URLs.

    Attributes:
        samples: class and image of training images.
        views: augmented views of one training image.
        mistakes: misclassified images, most confident first.
    """

    samples: tuple[tuple[str, str], ...] = ()
    views: str | None = None
    mistakes: tuple[MistakeImages, ...] = ()

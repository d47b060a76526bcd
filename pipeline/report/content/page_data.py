"""Data of a report, stored as JSON next to its page for comparisons. Imports no TFX."""

import dataclasses
import datetime
from typing import Any

from pydantic import Field

from common.strict_model import StrictModel
from components.conversion.results import ConversionResult
from components.evaluation.gate.verdict import Verdict
from components.evaluation.held_out.held_out_files import HeldOut
from components.evaluation.results import Evaluation, Mistake, Robustness
from components.serving_check.measurements import Measurements
from pipeline.command_line import CommandLine
from pipeline.registry.lineage import Lineage
from trainer.model.network_table import NetworkPart
from trainer.training.calibration_results import Calibration


class ModelStatus(StrictModel):
    """Gate decision and push of the model: stored at the end of the run, see `report.present`."""

    blessed: bool  # by the gate or by a manual override
    verdict: Verdict
    live: bool  # whether a model server loads this model
    manual_override: str | None = None  # in words
    unchanged: bool = False  # an earlier run had pushed the model
    version: str | None = None  # None if it was not pushed
    folder: str | None = None  # of this version
    since: datetime.datetime | None = None  # time of the push
    live_version: str | None = None  # the version that a model server loads
    repeated_by: str | None = None  # id of a later run that gave this model

    @property
    def word(self) -> str:
        """`Live`, `Not live`, `Blessed, not live`, or `Same model as a later run`."""
        if self.live:
            return 'Live'
        if self.repeated_by:
            return 'Same model as a later run'
        return 'Blessed, not live' if self.blessed else 'Not live'


class DataSummary(StrictModel):
    """The images of a run."""

    classes: tuple[str, ...]  # in label order
    counts: dict[str, dict[str, int]]  # images by split and class, over all spans
    seen: int | None = None  # images read; None if the run began with ready TFRecords
    bad: dict[str, int] = Field(default_factory=dict)  # quarantined images by reason
    clauses: tuple[str, ...] = ()  # skipped and converted images, in words
    examples: tuple[dict[str, str], ...] = ()  # quarantined images: source, reason, detail
    lists: tuple[str, ...] = ()  # files that list all quarantined images


class Stage(StrictModel):
    """A training stage, as written by `trainer.training.stage_history`."""

    name: str
    metrics: dict[str, tuple[float | None, ...]]
    best_epoch: int | None
    patience: int
    overfitting: str | None
    loss_before: float | None = None
    discarded: str | None = None


class ComponentTime(StrictModel):
    """Run time of a component."""

    name: str
    seconds: float
    cached: bool


class ReportData(StrictModel):
    """All data of a report. Parts that a run or an earlier version lacks are None or empty."""

    recipe: str
    description: str
    run_id: str
    made: datetime.datetime
    seconds: float  # total run time, with imports
    config: dict[str, Any]  # all keys of the recipe
    standing: ModelStatus
    data: DataSummary | None = None
    evaluation: Evaluation | None = None
    robustness: Robustness | None = None
    serving: Measurements | None = None
    lite: ConversionResult | None = None
    onnx: ConversionResult | None = None
    stages: tuple[Stage, ...] = ()
    network: tuple[NetworkPart, ...] = ()
    calibration: Calibration | None = None  # of the validation split, by the Trainer
    components: tuple[ComponentTime, ...] = ()
    origin: Lineage | None = None
    held_out: HeldOut | None = None  # test images that no model was trained on
    test_images: str | None = None  # digest of the test split
    decisions_on_test_images: int = 1  # models judged on this test split, with this one
    commands: CommandLine | None = None  # None for runs in a cluster
    warnings: tuple[str, ...] = ()  # drift above the thresholds, one clause each


@dataclasses.dataclass(frozen=True)
class PageImages:
    """Images of a page as `data:` URLs."""

    samples: tuple[tuple[str, str], ...] = ()  # class and image of training images
    views: str | None = None  # augmented views of one training image
    # Misclassified images with their heat maps, most confident first; None if a file was removed
    mistakes: tuple[tuple[Mistake, str | None, str | None], ...] = ()

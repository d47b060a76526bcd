"""Data of a report, stored as JSON for comparisons, without its record. Imports no TFX."""

import dataclasses

from pydantic import Field

from common.strict_model import StrictModel
from components.conversion.results import ConversionResult
from components.evaluation.gate.verdict import Verdict
from components.evaluation.held_out.held_out_files import HeldOut
from components.evaluation.results import Evaluation, Mistake, Robustness
from components.pusher.serving_folder import Moment
from components.serving_check.measurements import Measurements
from pipeline.command_line import CommandLine
from pipeline.models.lineage import Lineage
from pipeline.run.record import Run
from trainer.model.network_table import NetworkPart
from trainer.training.calibration_results import Calibration


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


class ReportData(Run):
    """The record of a run, and what its report shows besides.

    Parts that a run or an earlier version lacks are None or empty.
    """

    ended: Moment
    seconds: float
    verdict: Verdict
    description: str
    data: DataSummary | None = None
    evaluation: Evaluation | None = None
    robustness: Robustness | None = None
    serving: Measurements | None = None
    lite: ConversionResult | None = None
    onnx: ConversionResult | None = None
    stages: tuple[Stage, ...] = ()
    network: tuple[NetworkPart, ...] = ()
    calibration: Calibration | None = None  # of the validation split, by the Trainer
    origin: Lineage | None = None
    held_out: HeldOut | None = None  # test images that no model was trained on
    test_images: str | None = None  # digest of the test split
    decisions_on_test_images: int = 1  # models judged on this test split, with this one
    commands: CommandLine | None = None  # None for runs in a cluster

    @property
    def word(self) -> str:
        """`Live`, `Blessed, not live` or `Not live`, at the end of the run."""
        return 'Live' if self.live else 'Blessed, not live' if self.blessed else 'Not live'


@dataclasses.dataclass(frozen=True)
class PageImages:
    """Images of a page as `data:` URLs."""

    samples: tuple[tuple[str, str], ...] = ()  # class and image of training images
    views: str | None = None  # augmented views of one training image
    # Misclassified images with their heat maps, most confident first; None if a file was removed
    mistakes: tuple[tuple[Mistake, str | None, str | None], ...] = ()

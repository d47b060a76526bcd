"""Data of a report. Imports no TFX."""

from typing import NamedTuple

from pydantic import BaseModel

from common.strict_model import StrictModel
from components.conversion.conversion_results import ConversionResult
from components.evaluation.gate.decision import GateDecision
from components.evaluation.predictions.held_out import HeldOut
from components.evaluation.results import (
    Comparison,
    Evaluation,
    Robustness,
    ShownImage,
)
from components.image_example_gen.ingestion.ingested import Counts, Tally
from components.pusher.serving_folder import Moment
from components.serving_check.measurements import Measurements
from pipeline.models.lineage import Lineage
from pipeline.run.record import Run
from trainer.results import Calibration, NetworkPart


class DataSummary(StrictModel):
    """The images of a run, over all spans."""

    counts: Counts
    tally: Tally
    examples: tuple[dict[str, str], ...] = ()  # quarantined images: source, reason, detail


class Stage(BaseModel):
    """A training stage, as written by `trainer.training.stage_history`; other keys are ignored."""

    name: str
    metrics: dict[str, tuple[float | None, ...]]
    best_epoch: int | None
    overfitting: str | None = None
    discarded: str | None = None


class ReportData(Run):
    """The record of a run, and what its report shows besides."""

    ended: Moment
    seconds: float
    gate: GateDecision
    data: DataSummary
    evaluation: Evaluation
    robustness: Robustness
    serving: Measurements
    stages: tuple[Stage, ...]
    network: tuple[NetworkPart, ...]
    origin: Lineage
    held_out: HeldOut  # test images that no model was trained on
    test_images: str  # digest of the test split
    decisions_on_test_images: int  # models judged on this test split, with this one
    calibration: Calibration | None = None  # of the validation split, by the Trainer
    converted: ConversionResult | None = None  # None if the recipe has no `converter`

    @property
    def word(self) -> str:
        """`Live`, `Blessed, not live` or `Not live`, at the end of the run."""
        return 'Live' if self.live else 'Blessed, not live' if self.blessed else 'Not live'


class LabelledSet(StrictModel):
    """A version on labelled images, with another one on the same images for comparison."""

    recipe: str
    version: str
    against: str | None  # the other version
    data: str  # source and place of the images
    evaluated: Moment
    notes: tuple[str, ...]  # how the images were understood, and what was left out
    tally: Tally
    held_out: HeldOut  # images that neither version was trained on
    unknown: tuple[str, ...]  # versions whose training images are not known
    evaluation: Evaluation
    comparison: Comparison | None
    mistakes: tuple[ShownImage, ...]
    worse: tuple[ShownImage, ...]  # compared with the other version
    better: tuple[ShownImage, ...]

    def describe_comparison(self) -> str:
        """The paired comparison with the other version, in one line; empty without one."""
        if not (found := self.comparison):
            return ''
        needed = found.describe_needed()
        return (
            f'{found.outcome} compared with version {self.against}: {found.describe_changes()}; '
            f'{found.metric.replace("_", " ")} {100 * (found.candidate - found.reference):+.2f} '
            f'percentage points (95 % bounds {100 * found.low:+.2f} and {100 * found.high:+.2f})'
            + (needed and f'; {needed}')
        )

    @property
    def remarks(self) -> list[str]:
        """What was left out, and why, a line each."""
        lines = [*self.notes]
        lines += [f'of {self.tally.seen:,} images: {each}' for each in self.tally.clauses()]
        if dropped := self.held_out.dropped:
            lines.append(
                f'left out, because a version was trained on them or on similar ones: {dropped:,} '
                f'image{"s" * (dropped != 1)}'
            )
        return lines + [
            f'the training images of version {name} are not known, so none of them is left out'
            for name in self.unknown
        ]


class PageImages(NamedTuple):
    """Images of a page as `data:` URLs."""

    samples: tuple[tuple[str, str], ...] = ()  # class and image of training images
    views: str | None = None  # augmented views of one training image
    # Misclassified images with their heat maps, if the model has any, most confident first
    mistakes: tuple[tuple[ShownImage, str, str | None], ...] = ()
    # Images that only the reference model, or only this model, classifies correctly
    worse: tuple[tuple[ShownImage, str], ...] = ()
    better: tuple[tuple[ShownImage, str], ...] = ()

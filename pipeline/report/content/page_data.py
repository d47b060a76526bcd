"""What a page says of a run, as it is kept beside the page for comparisons. Imports no TFX."""

import dataclasses
import datetime
from typing import Any

from pydantic import Field

from common.strict_model import StrictModel
from components.evaluation.gate.verdict import Verdict
from components.evaluation.results import Evaluation, Mistake, Robustness
from components.lite_converter.lite_results import LiteResult
from components.serving_check.measurements import Measurements


class Standing(StrictModel):
    """How the model of a run stood when the run ended.

    Attributes:
        blessed: whether it might be pushed: no rule said no, or a person said so by hand.
        verdict: a reason for each rule.
        by_hand: what a person said of the model, in words; None if nobody did.
        live: whether it is what a model server loads.
        unchanged: whether it was pushed before this run.
        version: under which it was pushed; None if it was not.
        folder: where that is.
        since: when that was.
        live_version: what a model server loads; None: there is nothing.
    """

    blessed: bool
    verdict: Verdict
    live: bool
    by_hand: str | None = None
    unchanged: bool = False
    version: str | None = None
    folder: str | None = None
    since: datetime.datetime | None = None
    live_version: str | None = None

    @property
    def word(self) -> str:
        """The whole of it in a word or three."""
        if self.live:
            return 'Live'
        return 'Blessed, not live' if self.blessed else 'Not live'


class SetAside(StrictModel):
    """An image that could not be used."""

    source: str
    reason: str
    detail: str


class DataFacts(StrictModel):
    """The images of a run.

    Attributes:
        classes: names in the order of the labels.
        counts: images by split and class, of all spans.
        seen: how many there were; None if they came as records that were ready.
        bad: how many were set aside, by reason.
        clauses: what became of those that were not used as they came, for a person.
        examples: some of those that were set aside.
        lists: files that name all of them.
    """

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    seen: int | None = None
    bad: dict[str, int] = Field(default_factory=dict)
    clauses: tuple[str, ...] = ()
    examples: tuple[SetAside, ...] = ()
    lists: tuple[str, ...] = ()


class Stage(StrictModel):
    """A stage of a training, as `trainer.training.stage_history` writes it."""

    name: str
    metrics: dict[str, tuple[float | None, ...]]
    best_epoch: int | None
    patience: int
    overfitting: str | None


class Seconds(StrictModel):
    """How long a component took, and whether its outputs were there already."""

    name: str
    seconds: float
    cached: bool


class ModelName(StrictModel):
    """An earlier model: the version it was pushed as, if it was, and the run that trained it."""

    version: str | None
    run: str


class Origin(StrictModel):
    """What the model was made of.

    Attributes:
        trained_by: the run that trained it; an earlier one if its Trainer was cached.
        trained: when that ended.
        spans: numbers with fingerprints.
        code: hash of the code of the trainer and the components.
        weights: what the backbone started from, or would have without a warm start.
        parents: the model whose weights it continues from, that one's, and so on.
        baseline: the blessed model that it was compared with.
        tuned: where the values that a search found are.
    """

    trained_by: str
    trained: datetime.datetime | None
    spans: dict[int, str]
    code: str
    weights: str
    parents: tuple[ModelName, ...] = ()
    baseline: ModelName | None = None
    tuned: str | None = None


class ReportData(StrictModel):
    """A run. What it lacks is None or empty, as in runs of earlier versions.

    Attributes:
        recipe: its name.
        description: of the recipe.
        run_id: as in the metadata.
        made: when the page was written.
        seconds: all of them, imports too.
        config: the whole recipe.
        warnings: what moved further than the recipe allows, a clause each.
    """

    recipe: str
    description: str
    run_id: str
    made: datetime.datetime
    seconds: float
    config: dict[str, Any]
    standing: Standing
    data: DataFacts | None = None
    evaluation: Evaluation | None = None
    robustness: Robustness | None = None
    serving: Measurements | None = None
    lite: LiteResult | None = None
    stages: tuple[Stage, ...] = ()
    components: tuple[Seconds, ...] = ()
    origin: Origin | None = None
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Shown:
    """A mistake, and how it looks; no picture if its file is gone."""

    mistake: Mistake
    picture: str | None
    explanation: str | None


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What can be seen of a run.

    Attributes:
        samples: class and picture.
        views: augmented views of one image, as one picture.
        mistakes: the most confident first.
    """

    samples: tuple[tuple[str, str], ...] = ()
    views: str | None = None
    mistakes: tuple[Shown, ...] = ()

"""Which spans were used, and what is live: read from ML Metadata, so that every machine agrees."""

import dataclasses
import datetime
from collections.abc import Mapping

from ml_metadata import MetadataStore

from pipeline.provenance import EVALUATOR, PUSHER, Node, Provenance, custom


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that was trained and evaluated.

    Attributes:
        run_id: of the pipeline run that evaluated it.
        ended: when the evaluation ended.
        spans: what it was trained on, numbers with fingerprints.
        blessed: whether it was good enough.
        pushed: whether it was pushed, in this run or another.
    """

    run_id: str
    ended: datetime.datetime
    spans: Mapping[int, str]
    blessed: bool
    pushed: bool

    @property
    def finished(self) -> bool:
        """A run that was cut off between blessing and push has not used its data."""
        return self.pushed or not self.blessed


@dataclasses.dataclass(frozen=True)
class LiveModel:
    """The model that was pushed last.

    Attributes:
        version: the name of its folder, a number.
        destination: the folder.
        run_id: of the pipeline run that pushed it.
        since: when it was pushed.
        spans: what it was trained on, numbers with fingerprints.
    """

    version: str
    destination: str
    run_id: str
    since: datetime.datetime
    spans: Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class History:
    """All candidates, oldest first, and the live model."""

    candidates: tuple[Candidate, ...] = ()
    live: LiveModel | None = None

    def use_of(self, number: int, fingerprint: str | None = None) -> Candidate | None:
        """The last finished candidate that was trained on a span, as it was then if asked for."""
        for candidate in reversed(self.candidates):
            found = candidate.spans.get(number)
            if candidate.finished and found is not None and fingerprint in (None, found):
                return candidate
        return None


def read_history(store: MetadataStore, pipeline: str) -> History:
    """What ML Metadata says of a pipeline, by the recipe's name."""
    provenance = Provenance(store, pipeline)
    pushes = [node for node in provenance.of_kind(PUSHER) if was_pushed(node)]
    pushed = {_id(node.input('model')) for node in pushes}
    return History(
        tuple(_candidate(provenance, node, pushed) for node in provenance.of_kind(EVALUATOR)),
        _live(provenance, max(pushes, key=_pushed_model_id)) if pushes else None,
    )


def was_pushed(pusher: Node) -> bool:
    """Whether a Pusher that came to its end has a version to show."""
    model = pusher.output('pushed_model')
    return model is not None and custom(model, 'pushed') == 1


def _pushed_model_id(pusher: Node) -> int:
    # A cached Pusher gives the artifact of the first: nothing went live then.
    return _id(pusher.output('pushed_model'))


def _id(artifact: object) -> int:
    return getattr(artifact, 'id', 0)


def _candidate(provenance: Provenance, evaluator: Node, pushed: set[int]) -> Candidate:
    model, blessing = evaluator.input('model'), evaluator.output('blessing')
    return Candidate(
        run_id=provenance.run_id(evaluator),
        ended=evaluator.ended,
        spans=provenance.trained_on(model),
        blessed=blessing is not None and custom(blessing, 'blessed') == 1,
        pushed=_id(model) in pushed,
    )


def _live(provenance: Provenance, pusher: Node) -> LiveModel:
    model = pusher.output('pushed_model')
    first = provenance.producer(model) or pusher
    return LiveModel(
        version=str(custom(model, 'pushed_version')),
        destination=str(custom(model, 'pushed_destination')),
        run_id=provenance.run_id(first),
        since=first.ended,
        spans=provenance.trained_on(pusher.input('model')),
    )

"""Which spans were used, and what is live: read from ML Metadata, so that every machine agrees."""

import dataclasses
import datetime
from collections.abc import Mapping

from ml_metadata import MetadataStore

from common.blessing import BLESSING, decision_of
from pipeline.registry.provenance import Node, Provenance, destination_of, version_of


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that was trained and judged.

    Attributes:
        run_id: of the pipeline run that judged it.
        ended: when it was judged.
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
class PushedModel:
    """A version that was pushed.

    Attributes:
        version: the name of its folder, a number.
        destination: the folder.
        run_id: of the pipeline run that pushed it; empty if a person did.
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
    """All candidates, oldest first, and all versions that were pushed, lowest first."""

    candidates: tuple[Candidate, ...] = ()
    pushes: tuple[PushedModel, ...] = ()

    @property
    def live(self) -> PushedModel | None:
        """The highest version, which a model server loads."""
        return self.pushes[-1] if self.pushes else None

    def use_of(self, number: int, fingerprint: str | None = None) -> Candidate | None:
        """The last finished candidate that was trained on a span, as it was then if asked for."""
        for candidate in reversed(self.candidates):
            found = candidate.spans.get(number)
            if candidate.finished and found is not None and fingerprint in (None, found):
                return candidate
        return None


def read_history(store: MetadataStore | None, pipeline: str) -> History:
    """What ML Metadata says of a pipeline, by the recipe's name."""
    provenance = Provenance(store, pipeline)
    pushers = provenance.pushed()
    pushed = {_id(pusher.input('model')) for pusher in pushers}
    return History(
        tuple(_candidate(provenance, node, pushed) for node in provenance.gate_decisions()),
        tuple(_push(provenance, pusher) for pusher in pushers),
    )


def _candidate(provenance: Provenance, judge: Node, pushed: set[int]) -> Candidate:
    model = judge.input('model')
    return Candidate(
        run_id=provenance.run_id(judge),
        ended=judge.ended,
        spans=provenance.training_spans(model),
        blessed=decision_of(judge.output(BLESSING)) is True,
        pushed=_id(model) in pushed,
    )


def _push(provenance: Provenance, pusher: Node) -> PushedModel:
    return PushedModel(
        version=str(version_of(pusher)),
        destination=destination_of(pusher),
        run_id=provenance.run_id(pusher),
        since=pusher.ended,
        spans=provenance.training_spans(pusher.input('model')),
    )


def _id(artifact: object) -> int:
    return getattr(artifact, 'id', 0)

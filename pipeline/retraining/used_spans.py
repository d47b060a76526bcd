"""Reads used spans and pushed models from ML Metadata, which all machines share."""

import dataclasses
import datetime
from collections.abc import Mapping

from ml_metadata import MetadataStore

from common.blessing import BLESSING, decision_of
from common.metadata_queries import Node
from pipeline.registry.provenance import Provenance, destination_of, version_of


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that was trained and evaluated.

    Attributes:
        run_id: the pipeline run that evaluated it.
        ended: end of the evaluation.
        spans: numbers and fingerprints of the spans that it was trained on.
        blessed: the gate decision.
        pushed: True if this or a later run pushed it.
    """

    run_id: str
    ended: datetime.datetime
    spans: Mapping[int, str]
    blessed: bool
    pushed: bool

    @property
    def finished(self) -> bool:
        """False if the run was interrupted between blessing and push."""
        return self.pushed or not self.blessed


@dataclasses.dataclass(frozen=True)
class PushedModel:
    """A pushed version.

    Attributes:
        version: name of its folder, a number.
        destination: the folder.
        run_id: the pipeline run that pushed it; empty if it was pushed manually.
        since: time of the push.
        spans: numbers and fingerprints of the spans that it was trained on.
    """

    version: str
    destination: str
    run_id: str
    since: datetime.datetime
    spans: Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class History:
    """All candidates, oldest first, and all pushed versions, lowest first."""

    candidates: tuple[Candidate, ...] = ()
    pushes: tuple[PushedModel, ...] = ()

    @property
    def live(self) -> PushedModel | None:
        """The highest pushed version, which a model server loads."""
        return self.pushes[-1] if self.pushes else None

    def use_of(self, number: int, fingerprint: str | None = None) -> Candidate | None:
        """The last finished candidate that was trained on a span.

        Args:
            number: of the span.
            fingerprint: the state of the span; None: any state.
        """
        for candidate in reversed(self.candidates):
            used = candidate.spans.get(number)
            if candidate.finished and used is not None and fingerprint in (None, used):
                return candidate
        return None


def read_history(store: MetadataStore | None, pipeline: str) -> History:
    """Reads the candidates and pushed versions of a pipeline, which has the name of its recipe."""
    provenance = Provenance(store, pipeline)
    pushers = provenance.pushed()
    models = (pusher.input('model') for pusher in pushers)
    pushed = {model.id for model in models if model}
    return History(
        tuple(_candidate(provenance, node, pushed) for node in provenance.gate_decisions()),
        tuple(_push(provenance, pusher) for pusher in pushers),
    )


def _candidate(provenance: Provenance, gate: Node, pushed: set[int]) -> Candidate:
    model = gate.input('model')
    return Candidate(
        run_id=provenance.run_id(gate),
        ended=gate.ended,
        spans=provenance.training_spans(model),
        blessed=decision_of(gate.output(BLESSING)) is True,
        pushed=model is not None and model.id in pushed,
    )


def _push(provenance: Provenance, pusher: Node) -> PushedModel:
    return PushedModel(
        version=str(version_of(pusher)),
        destination=destination_of(pusher),
        run_id=provenance.run_id(pusher),
        since=pusher.ended,
        spans=provenance.training_spans(pusher.input('model')),
    )

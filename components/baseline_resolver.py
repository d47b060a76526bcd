"""Which model a candidate is compared with."""

import ml_metadata as mlmd
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.types import Artifact

CANDIDATE = 'candidate'


class LatestOtherBlessedModelStrategy(LatestBlessedModelStrategy):
    """The latest blessed model that is not the candidate itself.

    TFX's own strategy gives the candidate back when nothing has changed since it was blessed; it
    would then be evaluated against itself and pushed a second time. With this one, an identical
    run resolves the same baseline as the first and is cached to its end.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Input and output keys are those of the Resolver's channels; `candidate` is passed on."""
        others = dict(input_dict)
        candidates = others.pop(CANDIDATE)
        own = {artifact.id for artifact in candidates}
        others = {
            key: [artifact for artifact in artifacts if artifact.id not in own]
            for key, artifacts in others.items()
        }
        resolved = super().resolve_artifacts(store, others)
        return None if resolved is None else {**resolved, CANDIDATE: candidates}

"""Which model a candidate is compared with."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

CANDIDATE, MODEL, MODEL_BLESSING = 'candidate', 'model', 'model_blessing'


class LatestOtherBlessedModelStrategy(ResolverStrategy):
    """The model that was blessed last and is not the candidate itself.

    TFX's own strategy gives the candidate back when nothing has changed since it was blessed; it
    would then be evaluated against itself and pushed a second time. With this one, an identical
    run resolves the same baseline as the first and is cached to its end. Newest is the latest
    blessing, not the latest model: an older model that is blessed again is the one that is live.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Input and output have the channels `model`, `model_blessing`, and maybe `candidate`.

        `model` and `model_blessing` come back with one artifact each, or empty.
        """
        candidates = {artifact.id for artifact in input_dict.get(CANDIDATE, ())}
        models = {model.id: model for model in input_dict[MODEL] if model.id not in candidates}
        resolved = {**input_dict, MODEL: [], MODEL_BLESSING: []}
        for blessing in sorted(input_dict[MODEL_BLESSING], key=lambda each: -each.id):
            model = models.get(blessing.get_int_custom_property('current_model_id'))
            if model and blessing.get_int_custom_property('blessed') == 1:
                return {**resolved, MODEL: [model], MODEL_BLESSING: [blessing]}
        return resolved

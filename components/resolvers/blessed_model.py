"""Resolver strategy for the baseline model."""

import logging
from collections.abc import Iterator, Sequence

import ml_metadata as mlmd
from tfx.components.util import model_utils
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.artifacts import SERVED, folder_of
from common.blessing import ANCHOR_MODEL_ID, CURRENT_MODEL_ID, is_blessed, read_override
from common.errors import ModelError
from common.metadata_queries import custom_property, nodes_of
from components.image_example_gen.sources.base.labels import describe_classes
from components.inference.model_folder import read_classes
from components.resolvers.model_compatibility import why_unusable

CANDIDATE, MODEL, MODEL_BLESSING = 'candidate', 'model', 'model_blessing'

_log = logging.getLogger(__name__)


class LatestOtherBlessedModelStrategy(ResolverStrategy):
    """Resolves the blessed model with the highest pushed version, except the candidate.

    TFX's LatestBlessedModelStrategy resolves the candidate itself if nothing changed since its
    blessing: it would be evaluated against itself and pushed again. With this strategy, a repeated
    run resolves the same baseline as the first and is cached completely. The highest version
    counts, not the newest model, so that the restored model is the baseline after a rollback.

    - A model that was blessed but not pushed is no baseline. After an interrupted run, the next one
      resolves the same baseline, is cached up to the Pusher, and pushes the model.
    - A model whose blessing was withdrawn is no baseline.
    - A model with missing or damaged files is skipped with a warning.
    - If the classes or their order differ from the candidate's, there is no baseline, because the
      accuracies are not comparable. This is logged.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves the channels `model` and `model_blessing` to one artifact each, or to none.

        The optional channel `candidate` is unchanged.
        """
        candidates = input_dict.get(CANDIDATE, [])
        own = {artifact.id for artifact in candidates}
        models = [model for model in input_dict[MODEL] if model.id not in own]
        for model, blessing in _latest_first(store, models, input_dict[MODEL_BLESSING]):
            if reason := why_unusable(model.uri):
                _log.warning('skipped an unusable blessed model: %s', reason)
                continue
            if any(_has_other_classes(model, each) for each in candidates):
                break
            return {**input_dict, MODEL: [model], MODEL_BLESSING: [blessing]}
        return {**input_dict, MODEL: [], MODEL_BLESSING: []}


class AnchorModelStrategy(ResolverStrategy):
    """Resolves the best model so far, if it is not the baseline.

    ModelGate stores with each blessing which model was the best from then on. A candidate that is
    compared with its predecessor only may be a little worse each time; one that is also compared
    with the best model may not.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves `model`, all models of the pipeline, to one artifact or none.

        `model_blessing` is that of the baseline, if any, and unchanged. A model whose blessing was
        withdrawn is not used, nor one with missing or damaged files, which is logged.
        """
        blessings = input_dict[MODEL_BLESSING]
        wanted = {blessing.get_int_custom_property(ANCHOR_MODEL_ID) for blessing in blessings}
        wanted -= {blessing.get_int_custom_property(CURRENT_MODEL_ID) for blessing in blessings}
        models = [model for model in input_dict[MODEL] if model.id in wanted]
        return {**input_dict, MODEL: [model for model in models if _may_be_anchor(model)]}


def _may_be_anchor(model: Artifact) -> bool:
    if reason := why_unusable(model.uri):
        _log.warning('not compared with the best model so far: %s', reason)
        return False
    override = read_override(folder_of(model.uri))
    return override is None or override.blessed


def _latest_first(
    store: mlmd.MetadataStore, models: Sequence[Artifact], blessings: Sequence[Artifact]
) -> Iterator[tuple[Artifact, Artifact]]:
    """Yields blessed and pushed models with their blessings, highest version first."""
    newest: dict[int, Artifact] = {}
    by_gate = model_utils.is_model_blessed
    for blessing in sorted(blessings, key=lambda each: (by_gate(each), each.id)):
        newest[blessing.get_int_custom_property(CURRENT_MODEL_ID)] = blessing
    blessed = {
        model.id: model
        for model in models
        if model.id in newest and is_blessed(folder_of(model.uri), by_gate(newest[model.id]))
    }
    versions: dict[int, int] = {}
    for node in nodes_of(store, blessed):
        pushed, pushed_model = node.input(MODEL), node.output('pushed_model')
        if pushed is not None and custom_property(pushed_model, 'pushed') == 1:
            version = int(custom_property(pushed_model, 'pushed_version'))
            versions[pushed.id] = max(version, versions.get(pushed.id, 0))
    for key in sorted(versions, key=versions.__getitem__, reverse=True):
        yield blessed[key], newest[key]


def _has_other_classes(model: Artifact, candidate: Artifact) -> bool:
    """Whether both models have a list of classes, and these differ; logs both."""
    try:
        before, now = (read_classes(folder_of(each.uri) / SERVED) for each in (model, candidate))
    except ModelError:  # imported from another pipeline
        return False
    if before == now:
        return False
    _log.info(
        'not compared with the live model: it has %s, the new model %s',
        describe_classes(before),
        describe_classes(now),
    )
    return True

"""TFX's Pusher, with a push that is whole or not at all, and files beside the model."""

from pathlib import Path
from typing import Any, ClassVar

from tfx.components.pusher import executor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from common.artifacts import folder_of
from common.blessing import is_blessed
from common.features import SPAN
from components.evaluation.metrics.evaluation_files import read_accuracy
from components.lite_converter.component import LiteModels
from components.lite_converter.lite_results import LITE_FILE, LiteResult
from components.pusher.serving_folder import About
from components.pusher.versions import push

MODEL, MODEL_BLESSING, PUSHED_MODEL = 'model', 'model_blessing', 'pushed_model'
EXAMPLES, EVALUATION, LITE_MODEL = 'examples', 'evaluation', 'lite_model'
SERVING, KEEP, LOOKED = 'serving', 'keep', 'looked'
UNCHANGED = 'unchanged'  # custom property of what is pushed: it was live already


class PusherExecutor(executor.Executor):
    """Pushes a blessed model, unless it is live already.

    A version that is live and is this model is taken for pushed: so one that was put there by a run
    that was killed before it could note that, is noted by the next.
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Gives what TFX's own Pusher gives, but for the second copy of the model.

        Raises:
            PushError: the folder cannot be written; what is live stays.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL])
        model = artifact_utils.get_single_instance(input_dict[MODEL])
        if not is_blessed(folder_of(model.uri), self.CheckBlessing(input_dict)):
            self._MarkNotPushed(pushed_model)
            return
        pushed = push(
            folder_of(self.GetModelPath(input_dict)),
            Path(exec_properties[SERVING]),
            keep=exec_properties[KEEP],
            about=self._about(input_dict, model),
            beside=_beside(input_dict.get(LITE_MODEL, [])),
        )
        pushed_model.set_int_custom_property(UNCHANGED, int(pushed.unchanged))
        self._MarkPushed(pushed_model, str(pushed.folder), str(pushed.version))

    def _about(self, input_dict: dict[str, list[Artifact]], model: Artifact) -> About:
        context = self._context
        evaluation = input_dict.get(EVALUATION)
        return About(
            recipe=context.pipeline_info.id if context and context.pipeline_info else None,
            run=context.pipeline_run_id if context else None,
            model=model.uri,
            model_id=model.id,
            accuracy=read_accuracy(folder_of(evaluation[0].uri)) if evaluation else None,
            spans=tuple(sorted(_spans(input_dict.get(EXAMPLES, [])))),
        )


class PusherSpec(ComponentSpec):
    """What the Pusher takes and gives, with TFX's keys where it has them."""

    PARAMETERS: ClassVar = {
        SERVING: ExecutionParameter(type=str),
        KEEP: ExecutionParameter(type=int),
        LOOKED: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        MODEL: ChannelParameter(type=standard_artifacts.Model),
        MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples, optional=True),
        EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
        LITE_MODEL: ChannelParameter(type=LiteModels, optional=True),
    }
    OUTPUTS: ClassVar = {PUSHED_MODEL: ChannelParameter(type=standard_artifacts.PushedModel)}


class Pusher(BaseComponent):
    """Makes a model that is blessed live."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(PusherExecutor)

    def __init__(
        self,
        model: BaseChannel,
        model_blessing: BaseChannel,
        serving: Path,
        keep: int,
        looked: str,
        examples: BaseChannel | None = None,
        evaluation: BaseChannel | None = None,
        lite_model: BaseChannel | None = None,
    ) -> None:
        """Connects it.

        Args:
            model: of the Trainer.
            model_blessing: of the gate.
            serving: the folder that a model server watches.
            keep: how many versions stay there.
            looked: when the graph was made. What is live changes without TFX, so a push is never
                cached: it is over at once where nothing is to be done.
            examples: that the model was trained on, for the note beside it.
            evaluation: of the model, for the same.
            lite_model: files that go with it, those that are accurate enough.
        """
        spec = PusherSpec(
            model=model,
            model_blessing=model_blessing,
            examples=examples,
            evaluation=evaluation,
            lite_model=lite_model,
            serving=str(serving),
            keep=keep,
            looked=looked,
            pushed_model=Channel(type=standard_artifacts.PushedModel),
        )
        super().__init__(spec=spec)


def _beside(lite_models: list[Artifact]) -> dict[str, Path]:
    """Files that go with a version; what they are worth stays behind, as it differs each time."""
    files = {}
    for artifact in lite_models:
        folder = folder_of(artifact.uri)
        result = LiteResult.model_validate_json((folder / LITE_FILE).read_bytes())
        files.update({name: folder / name for name in result.pushed})
    return files


def _spans(examples: list[Artifact]) -> set[int]:
    spans = (each.mlmd_artifact for each in examples)
    return {
        each.custom_properties[SPAN].int_value for each in spans if SPAN in each.custom_properties
    }

"""Pusher component: TFX's Pusher with atomic pushes, metadata and extra files per version."""

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
SERVING, KEEP, CREATED = 'serving', 'keep', 'created'
UNCHANGED = 'unchanged'  # custom property of PushedModel: whether the model was already live


class PusherExecutor(executor.Executor):
    """Pushes a blessed model, unless it is already live.

    If the live version is this model, it is recorded as pushed. So the next run records the push of
    a run that was killed before it could do so.
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Same outputs as TFX's Pusher, without a copy of the model in the artifact's folder.

        Raises:
            PushError: the serving directory is not writable; the live version is unchanged.
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
            extra_files=_lite_files(input_dict.get(LITE_MODEL, [])),
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
    """Parameters, inputs and outputs; keys as in TFX's PusherSpec where it has them."""

    PARAMETERS: ClassVar = {
        SERVING: ExecutionParameter(type=str),
        KEEP: ExecutionParameter(type=int),
        CREATED: ExecutionParameter(type=str),
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
    """Pushes a blessed model to the serving directory."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(PusherExecutor)

    def __init__(
        self,
        model: BaseChannel,
        model_blessing: BaseChannel,
        serving: Path,
        keep: int,
        created: str,
        examples: BaseChannel | None = None,
        evaluation: BaseChannel | None = None,
        lite_model: BaseChannel | None = None,
    ) -> None:
        """Builds the component.

        Args:
            model: output of the Trainer.
            model_blessing: output of ModelGate.
            serving: serving directory, watched by a model server.
            keep: number of versions to keep.
            created: time when the pipeline was built; disables the cache, because the serving
                directory changes outside of TFX.
            examples: training data, recorded with the version.
            evaluation: evaluation of the model; its accuracy is recorded with the version.
            lite_model: TensorFlow Lite models; those that are accurate enough are pushed too.
        """
        spec = PusherSpec(
            model=model,
            model_blessing=model_blessing,
            examples=examples,
            evaluation=evaluation,
            lite_model=lite_model,
            serving=str(serving),
            keep=keep,
            created=created,
            pushed_model=Channel(type=standard_artifacts.PushedModel),
        )
        super().__init__(spec=spec)


def _lite_files(lite_models: list[Artifact]) -> dict[str, Path]:
    """Models to push, without `lite.json`: its timings would make every version unique."""
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

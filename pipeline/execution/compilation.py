"""Compiles a pipeline to TFX's intermediate representation."""

from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2


def compile_pipeline(pipeline: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """The intermediate representation of one run of a pipeline."""
    ir = compiler.Compiler().compile(pipeline)
    name_run(ir, run_id)
    return ir


def name_run(ir: pipeline_pb2.Pipeline, run_id: str) -> None:
    """Fills in the id of a run."""
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )


def display_name(node_id: str) -> str:
    """A node's id as a person knows it: `baseline_resolver` is BaselineResolver."""
    return ''.join(word.capitalize() for word in node_id.split('_')) if '_' in node_id else node_id

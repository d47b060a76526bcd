"""Compiles a pipeline to TFX's intermediate representation."""

from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2


def compile_pipeline(pipeline: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles one run of a pipeline to the intermediate representation."""
    ir = compiler.Compiler().compile(pipeline)
    set_run_id(ir, run_id)
    return ir


def set_run_id(ir: pipeline_pb2.Pipeline, run_id: str) -> None:
    """Replaces the placeholder for the run ID."""
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )


def display_name(node_id: str) -> str:
    """Formats a node ID for display, such as `baseline_resolver` as BaselineResolver."""
    return ''.join(word.capitalize() for word in node_id.split('_')) if '_' in node_id else node_id

"""Compiles a recipe to a job of Vertex AI Pipelines, with TFX's KubeflowV2DagRunner."""

from pathlib import Path

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)

from common.errors import ConfigError
from components.image_example_gen.sources.spans import open_window, span_folders
from pipeline.config.recipe import Recipe
from pipeline.graph import create_pipeline
from pipeline.resolver_nodes import Resolvers

_COMMAND = ['python', '-m', 'tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor']
# Vertex AI executes only the resolver strategies of TFX.
_RESOLVERS = Resolvers(
    blessed_model=LatestBlessedModelStrategy, excludes_candidate=False, previous_statistics=None
)
_LIMITATIONS = (
    'Vertex AI runs no drivers, so it cannot detect new images; caching is disabled and every run '
    'executes all components.',
    'The baseline is always the newest blessed model: an identical candidate is compared with '
    'itself and pushed again, and the Evaluator fails if the baseline has other classes.',
    'There is no rolling window: use one span, or images without spans.',
    'There is no drift check against the previous span.',
    'Vertex AI has its own metadata: metadata.address is ignored, and status, lineage and retrain '
    'do not include its runs.',
    'There is no HTML report, and only the image of the kubeflow: section is used.',
)


def compile_vertex(recipe: Recipe, path: Path) -> tuple[str, ...]:
    """Writes the job of a recipe as JSON; returns the limitations of Vertex AI, one sentence each.

    Paths in the recipe are as the containers see them, such as /gcs/BUCKET for a bucket.
    `pipeline_root` is set when the job is started.

    Raises:
        ConfigError: Vertex AI does not support the recipe, or the file name does not end in .json.
        DataError: the images, from which the classes are read, cannot be used.
    """
    if recipe.data.several_spans:
        raise ConfigError(
            'data.window or data.span_range: Vertex AI has no rolling window; use one span'
        )
    if path.suffix != '.json':
        raise ConfigError(f'{path}: Vertex AI takes JSON; give a name that ends in .json')
    path.touch()  # raises before the slow compilation
    (span,) = open_window(recipe.data)
    records = recipe.data.path if recipe.data.source == 'canonical' else None
    if records is not None and span_folders(records):
        raise ConfigError(
            f'data.path: {records} has several spans; Vertex AI needs the folder of one span'
        )
    pipeline = create_pipeline(recipe, span.source.classes, span.source.count, _RESOLVERS)
    pipeline.enable_cache = False
    config = KubeflowV2DagRunnerConfig(
        default_image=recipe.kubeflow.image, default_commands=_COMMAND
    )
    runner = KubeflowV2DagRunner(config, output_dir=str(path.parent), output_filename=path.name)
    runner.run(pipeline, write_out=True)
    return _LIMITATIONS

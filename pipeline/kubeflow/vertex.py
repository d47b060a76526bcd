"""From a recipe to the job that Vertex AI Pipelines takes, with TFX's own runner for it."""

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
# It executes no resolver strategies but those of TFX.
_RESOLVERS = Resolvers(
    blessed_model=LatestBlessedModelStrategy, excludes_candidate=False, previous_statistics=None
)
CANNOT = (
    'Vertex AI runs no drivers: it does not notice new images, so its caching is off and every '
    'run does everything.',
    'It knows only the newest blessed model as a baseline: a candidate that equals it is compared '
    'with itself and pushed again, and the Evaluator fails where that one knows other classes.',
    'It has no rolling window: one span, or images that do not come in spans.',
    'It compares no span with the one before: drift is not looked for.',
    'It keeps metadata of its own: metadata.address is not used, and status, lineage and retrain '
    'do not see its runs.',
    'It shows no report of ours, and the kubeflow: part of the recipe counts for the image alone.',
)


def compile_vertex(recipe: Recipe, path: Path) -> tuple[str, ...]:
    """Writes the job as JSON.

    Args:
        recipe: `pipeline_root` is given when the job is started; paths in it are those that the
            containers see, a bucket being /gcs/BUCKET.
        path: of the file, ending in .json.

    Returns:
        A sentence for each thing that does not work there.

    Raises:
        ConfigError: the recipe asks for what cannot be done there, or the file is no JSON.
        OSError: the file cannot be written.
        DataError: the images, which name the classes, cannot be used here.
    """
    if recipe.data.several_spans:
        raise ConfigError(
            'data.window or data.span_range: Vertex AI has no rolling window; set it to 1 span'
        )
    if path.suffix != '.json':
        raise ConfigError(f'{path}: Vertex AI takes JSON; give a name that ends in .json')
    path.touch()  # tells now what cannot be written
    (span,) = open_window(recipe.data)
    records = recipe.data.path if recipe.data.source == 'canonical' else None
    if records is not None and span_folders(records):
        raise ConfigError(
            f'data.path: Vertex AI does not look for spans in {records}; give the folder of one'
        )
    pipeline = create_pipeline(recipe, span.source.classes, span.source.count, _RESOLVERS)
    pipeline.enable_cache = False
    config = KubeflowV2DagRunnerConfig(
        default_image=recipe.kubeflow.image, default_commands=_COMMAND
    )
    runner = KubeflowV2DagRunner(config, output_dir=str(path.parent), output_filename=path.name)
    runner.run(pipeline, write_out=True)
    return CANNOT

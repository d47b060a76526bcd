"""RobustnessEvaluator component: corruption robustness and the most confident mistakes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import List  # noqa: UP035

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts
from tfx.utils import path_utils

from common import console
from common.artifacts import folder_of
from components.evaluation.config import RobustnessConfig
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import (
    prediction_paths,
    read_rows,
    sample_of,
)
from components.evaluation.predictions.split_images import (
    RecordedImage,
    files_of_split,
    find_images,
)
from components.evaluation.results import CANDIDATE, ROBUSTNESS_FILE, Robustness, wilson
from components.evaluation.robustness.corruptions import measure_robustness
from components.evaluation.robustness.mistakes import (
    changed_rows,
    draw_changes,
    draw_mistakes,
    worst_mistakes,
)
from components.inference.classifier import load_classifier

_MAX_MISTAKES, _MAX_CHANGED = 12, 12


class RobustnessResults(Artifact):
    """`robustness.json` (`components.evaluation.results.Robustness`) and PNGs of the mistakes."""

    TYPE_NAME = 'catdog.RobustnessResults'


@component
def RobustnessEvaluator(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX requires List
    model: InputArtifact[standard_artifacts.Model],
    predictions: InputArtifact[Predictions],
    reference_predictions: InputArtifact[Predictions],
    robustness: OutputArtifact[RobustnessResults],
    config: Parameter[str],
    resize: Parameter[str],
) -> None:
    """Measures accuracy on corrupted test images, and draws the most confident mistakes.

    `predictions` are those of the model on the split `test` of all spans; only corrupted copies
    pass through the model here, and the mistakes for their heat maps. Draws also the images that
    got better or worse, compared with the reference model. `config` is a `RobustnessConfig` as
    JSON, `resize` the key of the Trainer.
    """
    settings = RobustnessConfig.model_validate_json(config)
    files = files_of_split([folder_of(each.uri) for each in examples], 'test')
    classifier = load_classifier(folder_of(path_utils.serving_model_path(model.uri)))
    folder = folder_of(robustness.uri)
    paths = prediction_paths(folder_of(predictions.uri), folder_of(reference_predictions.uri))
    rows = [*read_rows(paths)]
    worst, sample = worst_mistakes(rows, _MAX_MISTAKES), sample_of(rows, settings.images)
    changed = [changed_rows(rows, better=better, most=_MAX_CHANGED) for better in (False, True)]
    keys = [row.key for row in itertools.chain(worst, sample, *changed)]
    images = {image.key: image for image in find_images(files, keys)}
    right = [row.predicted[CANDIDATE] == row.label for row in sample]
    worse, better = (draw_changes(each, images, classifier.classes, folder) for each in changed)
    mistakes = draw_mistakes(worst, images, classifier, folder)
    result = Robustness(mistakes=mistakes, worse=worse, better=better)
    if settings.images:
        with console.bar('corrupted images', len(sample)) as bar:
            read = _advancing(bar, [images[row.key] for row in sample])
            corrupted = measure_robustness(read, right, classifier, settings.precision, resize)
        clean = wilson(sum(right), len(right))
        result = result.model_copy(update={'clean': clean, 'corrupted': corrupted})
    (folder / ROBUSTNESS_FILE).write_text(result.model_dump_json(indent=1), encoding='utf-8')


def _advancing(bar: console.Bar, images: Sequence[RecordedImage]) -> Iterator[RecordedImage]:
    for image in images:
        bar.advance()
        yield image

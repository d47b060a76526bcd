"""RobustnessEvaluator component: corruption robustness and the most confident mistakes."""

from typing import List  # noqa: UP035

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import SERVED, folder_of
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import (
    prediction_paths,
    read_rows,
    sample_of,
)
from components.evaluation.predictions.split_images import (
    files_of_split,
    find_images,
)
from components.evaluation.results import CANDIDATE, ROBUSTNESS_FILE, wilson
from components.evaluation.robustness.corruptions import measure_robustness
from components.evaluation.robustness.mistakes import ShownRows
from components.inference.classifier import load_classifier


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
    sample_size: Parameter[int],
    resize: Parameter[str],
) -> None:
    """Measures accuracy on corrupted test images, and draws the most confident mistakes.

    `predictions` are those of the model on the split `test` of all spans; only corrupted copies
    pass through the model here, and the mistakes for their heat maps. Draws also the images that
    got better or worse, compared with the reference model. `sample_size` is the key
    `evaluation.robustness.images`, `resize` that of the Trainer.
    """
    files = files_of_split([folder_of(each.uri) for each in examples], 'test')
    classifier = load_classifier(folder_of(model.uri) / SERVED)
    folder = folder_of(robustness.uri)
    paths = prediction_paths(folder_of(predictions.uri), folder_of(reference_predictions.uri))
    rows = [*read_rows(paths)]
    shown, sample = ShownRows.of(rows), sample_of(rows, sample_size)
    keys = [*shown.keys, *(row.key for row in sample)]
    images = {image.key: image for image in find_images(files, keys)}
    result = shown.draw(images, classifier, folder)
    if sample:
        clean = wilson(sum(row.predicted[CANDIDATE] == row.label for row in sample), len(sample))
        corrupted = measure_robustness(
            [images[row.key] for row in sample], clean, classifier, resize
        )
        update = {'clean': clean, 'images': len(sample), 'corrupted': corrupted}
        result = result.model_copy(update=update)
    result.write(folder / ROBUSTNESS_FILE)

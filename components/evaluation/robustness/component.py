"""RobustnessEvaluator component: corruption robustness and the most confident mistakes."""

from pathlib import Path
from typing import List  # noqa: UP035

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts
from tfx.utils import path_utils

from common import console
from common.artifacts import folder_of
from components.evaluation.config import RobustnessConfig
from components.evaluation.results import ROBUSTNESS_FILE, Robustness
from components.evaluation.robustness.corrupted_accuracy import COPIES, choose, measure_robustness
from components.evaluation.robustness.mistakes import find_mistakes
from components.evaluation.robustness.split_images import RecordedImages
from components.inference.classifier import Classifier

_MAX_MISTAKES = 12


class RobustnessResults(Artifact):
    """`robustness.json` (`components.evaluation.results.Robustness`) and PNGs of the mistakes."""

    TYPE_NAME = 'catdog.RobustnessResults'  # Vertex AI requires a prefix


@component
def RobustnessEvaluator(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX requires List
    model: InputArtifact[standard_artifacts.Model],
    robustness: OutputArtifact[RobustnessResults],
    config: Parameter[str],
    code: Parameter[str],  # part of the cache key
) -> None:
    """Measures accuracy on corrupted test images, and finds the most confident mistakes.

    Args:
        examples: all spans of the evaluation; the split `test` is used.
        model: the candidate.
        robustness: gets the results.
        config: `RobustnessConfig` as JSON.
        code: hash of the component's source.
    """
    count = RobustnessConfig.model_validate_json(config).images
    serving = folder_of(path_utils.serving_model_path(model.uri))
    folder = folder_of(robustness.uri)
    result = evaluate(RecordedImages(_files(examples)), Classifier(serving), count, folder)
    (folder / ROBUSTNESS_FILE).write_text(result.model_dump_json(indent=1), encoding='utf-8')


def evaluate(
    images: RecordedImages, classifier: Classifier, count: int, folder: Path
) -> Robustness:
    """Computes the robustness results.

    Args:
        images: the test split.
        classifier: the model.
        count: maximum number of images to corrupt; 0: none.
        folder: gets the PNGs of the mistakes.
    """
    digests = [image.sha256 for image in images]
    with console.bar('test images', len(digests)) as bar:
        mistakes = find_mistakes(images, classifier, _MAX_MISTAKES, folder, bar.advance)
    if not count:
        return Robustness(clean=None, corrupted=(), mistakes=tuple(mistakes))
    chosen = choose(digests, count)
    with console.bar('corrupted copies', len(chosen) * (len(COPIES) + 1)) as bar:
        clean, corrupted = measure_robustness(images, chosen, classifier, bar.advance)
    return Robustness(clean=clean, corrupted=tuple(corrupted), mistakes=tuple(mistakes))


def _files(examples: List[standard_artifacts.Examples]) -> tuple[Path, ...]:  # noqa: UP006
    folders = (folder_of(each.uri) / 'Split-test' for each in examples)
    return tuple(file for folder in folders for file in sorted(folder.iterdir()))

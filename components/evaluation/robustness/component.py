"""RobustnessEvaluator component: corruption robustness and the most confident mistakes."""

import heapq
from collections.abc import Iterable, Iterator
from typing import List  # noqa: UP035

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts
from tfx.utils import path_utils

from common import console
from common.artifacts import folder_of
from components.evaluation.config import RobustnessConfig
from components.evaluation.results import ROBUSTNESS_FILE, Robustness
from components.evaluation.robustness.corruptions import measure_robustness
from components.evaluation.robustness.mistakes import find_mistakes
from components.evaluation.robustness.split_images import RecordedImage, read_images
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

    Uses the split `test` of all spans. `config` is a `RobustnessConfig` as JSON.
    """
    folders = [folder_of(each.uri) / 'Split-test' for each in examples]
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    digests = [image.sha256 for image in read_images(files)]
    classifier = Classifier(folder_of(path_utils.serving_model_path(model.uri)))
    folder = folder_of(robustness.uri)
    with console.bar('test images', len(digests)) as bar:
        images = _advancing(bar, read_images(files))
        mistakes = find_mistakes(images, classifier, _MAX_MISTAKES, folder)
    result = Robustness(clean=None, corrupted=(), mistakes=mistakes)
    if count := RobustnessConfig.model_validate_json(config).images:
        # The smallest digests: a random sample, of which a new test image replaces at most one.
        chosen = frozenset(heapq.nsmallest(count, set(digests)))
        sample = (image for image in read_images(files) if image.sha256 in chosen)
        with console.bar('corrupted images', len(chosen)) as bar:
            clean, corrupted = measure_robustness(_advancing(bar, sample), classifier)
        result = Robustness(clean=clean, corrupted=corrupted, mistakes=mistakes)
    (folder / ROBUSTNESS_FILE).write_text(result.model_dump_json(indent=1), encoding='utf-8')


def _advancing(bar: console.Bar, images: Iterable[RecordedImage]) -> Iterator[RecordedImage]:
    for image in images:
        yield image
        bar.advance()

"""Data and images of a synthetic run with all sections of a report."""

import datetime
import io
import json
import math
from pathlib import Path

import numpy as np
import PIL.Image

from components.evaluation.config import SLICES
from components.evaluation.gate.verdict import Ruling, Verdict
from components.evaluation.results import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    BRIER,
    ECE,
    LOG_LOSS,
    PR_AUC,
    Bucket,
    CorruptedResult,
    Estimate,
    Evaluation,
    Mistake,
    ModelResult,
    Robustness,
    SliceResult,
    wilson,
)
from components.lite_converter.lite_results import LiteModel, LiteResult
from components.serving_check.measurements import Measurements
from pipeline.config.recipe import recipe_of
from pipeline.report.content.page_data import (
    ComponentTime,
    DataSummary,
    MistakeImages,
    ModelReference,
    ModelStatus,
    Origin,
    PageImages,
    QuarantinedImage,
    ReportData,
    Stage,
)
from trainer.model.description import NetworkPart

UTC = datetime.timezone.utc
LIVE = ModelStatus(
    blessed=True,
    verdict=Verdict(
        rulings=(
            Ruling(rule='baseline', passed=True, reason='accuracy 0.970, baseline 0.95 (n=402)'),
            Ruling(rule='drop', passed=True, reason='accuracy 0.015 above the last blessed model'),
            Ruling(rule='floor', passed=True, reason='accuracy on cats 0.964, floor 0.90 (n=194)'),
            Ruling(
                rule='floor', passed=None, reason='accuracy on small images 0.8, floor 0.9 (n=15)'
            ),
            Ruling(rule='latency', passed=True, reason='8.4 ms for one image, at most 50 ms'),
        )
    ),
    live=True,
    version='1795284347',
    since=datetime.datetime(2026, 11, 21, 18, 5, tzinfo=UTC),
    live_version='1795284347',
)
REASON = 'accuracy on dark images 0.883, floor 0.90 (n=212)'
REJECTED = ModelStatus(
    blessed=False,
    verdict=Verdict(
        rulings=(
            Ruling(rule='baseline', passed=True, reason='accuracy 0.958, baseline 0.95 (n=402)'),
            Ruling(rule='floor', passed=False, reason=REASON),
        )
    ),
    live=False,
    live_version='1795284347',
)
FLOORS = {'class': 0.9, 'brightness.dark': 0.9, 'size': 0.9}
_SHARES = {'dark': 0.925, 'blurred': 0.93, 'small': 0.80, 'tall': 0.955}


def example(
    run_id: str = '2026-11-21T18:04:54.991458',
    standing: ModelStatus = LIVE,
    *,
    better: float = 0.0,
    classes: tuple[str, ...] = ('cats', 'dogs'),
    **changes: object,
) -> ReportData:
    """A run with all sections; `better` is added to its accuracy."""
    recipe = recipe_of(
        {
            'name': 'filtered_160',
            'description': 'Cats and dogs, 160 px, head and fine-tuning',
            'evaluation': {'floors': FLOORS},
            **dict(changes.pop('recipe', {})),
        }
    )
    values = {
        'recipe': 'filtered_160',
        'description': recipe.description,
        'run_id': run_id,
        'made': datetime.datetime(2026, 11, 21, 18, 6, tzinfo=UTC),
        'seconds': 61.3,
        'config': recipe.model_dump(mode='json'),
        'standing': standing,
        'data': _data(classes),
        'evaluation': Evaluation(
            classes=classes,
            threshold=0.5,
            candidate=model_result(0.97 + better, classes),
            baseline=model_result(0.955, classes),
        ),
        'robustness': _robustness(),
        'serving': _serving(),
        'lite': _lite(),
        'stages': _stages(),
        'network': [
            NetworkPart(size=5, channels=1280, layers=4, parameters=1_030_000, trained=830_000),
            NetworkPart(size=None, channels=1, layers=1, parameters=1281, trained=1281),
        ],
        'components': tuple(
            ComponentTime(name=name, seconds=seconds, cached=seconds == 0.1)
            for name, seconds in (
                ('ImageExampleGen', 3.6),
                ('StatisticsGen', 0.1),
                ('Transform', 0.3),
                ('Trainer', 37.9),
                ('Evaluator', 7.2),
                ('RobustnessEvaluator', 6.1),
                ('ServingCheck', 4.0),
                ('ModelGate', 0.02),
                ('Pusher', 0.13),
            )
        ),
        'origin': Origin(
            trained_by=run_id,
            trained=datetime.datetime(2026, 11, 21, 18, 5, tzinfo=UTC),
            spans={6: '2f468401f24d71179e92', 7: 'aa468401f24d71179e92'},
            code='9f86d081884c7d65',
            weights='imagenet',
            parents=(ModelReference(version='1795197947', run='2026-11-20T18:04'),),
            baseline=ModelReference(version='1795197947', run='2026-11-20T18:04:54'),
        ),
    }
    return ReportData.model_validate({**values, **changes})


def model_result(accuracy: float, classes: tuple[str, ...]) -> ModelResult:
    """Results for an accuracy, with all slicing features."""
    others = [
        _slice(feature, name, images, _SHARES.get(name, accuracy))
        for feature, names in SLICES.items()
        for name, images in zip(names, (15 if feature == 'size' else 120, 200, 82), strict=True)
    ]
    per_class = 402 // len(classes)
    by_class = [_slice('class', name, per_class, accuracy) for name in classes]
    right = min(round(per_class * accuracy), per_class - 1)
    confusion = [[0] * len(classes) for _ in classes]
    for label in range(len(classes)):
        confusion[label][label] = right
        confusion[label][(label + 1) % len(classes)] = per_class - right
    rates = [number / 400 for number in range(401)]
    return ModelResult(
        slices=(_overall(accuracy), *by_class, *others, _slice('source', 'camera', 402, accuracy)),
        confusion=confusion,
        roc=[(x, x ** (0.08 / accuracy)) for x in rates],
        precision_recall=[(x, 1 - 0.4 * x**12 / accuracy) for x in rates],
        calibration=[
            Bucket(
                confidence=x / 10 + 0.05,
                share=min(1, x / 10 + 0.05 + 0.04 * math.sin(x)),
                images=images,
            )
            for x, images in enumerate((150, 22, 8, 4, 3, 4, 6, 12, 24, 169))
        ],
    )


def _overall(accuracy: float) -> SliceResult:
    metrics = {
        ACCURACY: wilson(round(402 * accuracy), 402),
        BALANCED_ACCURACY: Estimate(value=accuracy - 0.001, low=0.950, high=0.984),
        AUC: Estimate(value=0.9945, low=0.989, high=0.998),
        PR_AUC: Estimate(value=0.9951, low=0.990, high=0.999),
        LOG_LOSS: Estimate(value=1.06 - accuracy, low=0.06, high=0.13),
        BRIER: Estimate(value=0.0231, low=0.015, high=0.032),
        ECE: Estimate(value=0.0142),
    }
    return SliceResult(feature='', name='', images=402, metrics=metrics)


def _slice(feature: str, name: str, images: int, share: float) -> SliceResult:
    accuracy = wilson(round(images * share), images)
    return SliceResult(feature=feature, name=name, images=images, metrics={ACCURACY: accuracy})


def _data(classes: tuple[str, ...]) -> DataSummary:
    return DataSummary(
        classes=classes,
        seen=2009,
        counts={
            split: {name: images + 7 * number for number, name in enumerate(classes)}
            for split, images in (('train', 587), ('eval', 199), ('test', 194))
        },
        bad={'truncated': 4, 'not an image': 3},
        clauses=('7 quarantined (4 truncated, 3 not an image)', '2 duplicates skipped'),
        examples=(
            QuarantinedImage(
                source='cats/cat.1041.jpg',
                reason='truncated',
                detail='it ends after 4,096 bytes, in the middle of the picture',
            ),
            QuarantinedImage(source='dogs/<b>.jpg', reason='not an image', detail='it is text'),
        ),
        lists=('/srv/runs/filtered_160/artifacts/ImageExampleGen/quarantine/1/span-1/list.jsonl',),
    )


def _robustness() -> Robustness:
    loss = {'noise': 0.04, 'blur': 0.03, 'jpeg': 0.012, 'darkness': 0.09, 'rotation': 0.02}
    return Robustness(
        clean=wilson(97, 100),
        corrupted=tuple(
            CorruptedResult(
                corruption=name,
                severity=severity,
                images=100,
                accuracy=wilson(round(97 - 100 * each * severity**1.4), 100),
            )
            for name, each in loss.items()
            for severity in (1, 2, 3)
        ),
        mistakes=tuple(
            Mistake(
                filename=f'cats/cat.{number}.jpg',
                label='cats',
                answer='dogs',
                probability=0.998 - number / 50,
                picture='p.png',
                explanation='x.png',
            )
            for number in range(6)
        ),
    )


def _serving() -> Measurements:
    return Measurements(
        problems=(),
        largest_difference=3.6e-7,
        load_seconds=1.42,
        latency_ms=8.4,
        latency_ms_p95=9.9,
        memory_mb=143,
        size_mb=11.7,
        checks=(
            'both signatures work',
            'a batch of 8 has the predictions of its images',
            'a corrupted image gets NaN',
        ),
    )


def _lite() -> LiteResult:
    formats = (('float16', 4.6, 0.97, 1.0, True), ('int8', 2.5, 0.91, 0.93, False))
    return LiteResult(
        images=402,
        max_drop=0.02,
        saved_model=wilson(390, 402),
        models=tuple(
            LiteModel(
                format=name,
                file=f'{name}.tflite',
                megabytes=size,
                agreement=same,
                accuracy=wilson(round(402 * accuracy), 402),
                milliseconds=5.1,
                within_bound=within,
            )
            for name, size, accuracy, same, within in formats
        ),
    )


def _stages() -> tuple[Stage, ...]:
    def metrics(start: float, epochs: int) -> dict[str, tuple[float, ...]]:
        loss = [start / (1 + 0.4 * epoch) + 0.05 for epoch in range(epochs)]
        return {
            'loss': tuple(loss),
            'val_loss': tuple(0.6 * each + 0.04 for each in loss),
            'accuracy': tuple(1 - 0.4 * each for each in loss),
            'val_accuracy': tuple(1 - 0.3 * each for each in loss),
        }

    return (
        Stage(
            name='stage 1, head',
            metrics=metrics(0.5, 10),
            best_epoch=9,
            patience=0,
            overfitting=None,
        ),
        Stage(
            name='stage 2, fine-tuning',
            metrics=metrics(0.3, 10),
            best_epoch=7,
            patience=3,
            overfitting=None,
        ),
    )


def picture(seed: int) -> bytes:
    """A PNG with a wave pattern."""
    grid = np.mgrid[0:120, 0:160]
    waves = [np.sin(grid[0] / (9 + seed + k) + seed) * np.cos(grid[1] / (7 + k)) for k in range(3)]
    buffer = io.BytesIO()
    pixels = (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


def images_for(data: ReportData) -> PageImages:
    """Samples, augmented views and mistakes."""
    from pipeline.report.content.embedded_images import data_uri

    mistakes = data.robustness.mistakes if data.robustness else ()
    return PageImages(
        samples=tuple((data.data.classes[n % 2], data_uri(picture(n))) for n in range(8)),
        views=data_uri(picture(9), 900),
        mistakes=tuple(
            MistakeImages(each, data_uri(picture(n)), data_uri(picture(n + 20)))
            for n, each in enumerate(mistakes)
        ),
    )


def write_stored(home: Path, data: ReportData) -> None:
    """Writes data and a minimal page of a run to the stored reports."""
    folder = home / 'reports'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{data.run_id}.html').write_text(f'<title>{data.run_id}</title>')
    (folder / f'{data.run_id}.json').write_text(json.dumps(data.model_dump(mode='json')))

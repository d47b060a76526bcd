"""Data and images of a synthetic run with all sections of a report."""

import io

import numpy as np
import PIL.Image

from components.evaluation.config import SLICES
from components.evaluation.gate.decision import GateDecision, RuleResult
from components.evaluation.results import Comparison, ModelResult, wilson
from pipeline.config.recipe import recipe_of
from pipeline.report.embedded_images import data_uri
from pipeline.report.page_data import PageImages, ReportData
from pipeline.report.store import store_report
from pipeline.run.record import write_run

STARTED, MADE = '2026-11-21T18:03:58.7Z', '2026-11-21T18:05:00Z'
VERSION = '1795284347'
REASON = 'accuracy on dark images 0.883, floor 0.90 (n=212)'
FLOORS = {'class': 0.9, 'brightness.dark': 0.9, 'size': 0.9}


def gate(*rules: tuple[str, str], **values: object) -> GateDecision:
    return GateDecision(
        **{'metric': 'accuracy', 'value': 0.97, 'minimum': 0.95, 'images': 402, **values},
        rules=[RuleResult(rule='any', result=result, reason=reason) for result, reason in rules],
    )


def compared(outcome: str, better: int, worse: int, **values: object) -> Comparison:
    """402 images, with a reference model of 0.955."""
    candidate = 0.955 + (better - worse) / 402
    return Comparison(
        outcome=outcome,
        images=402,
        better=better,
        worse=worse,
        **{'candidate': candidate, 'reference': 0.955, 'low': -0.05, 'high': 0.05, **values},
    )


HELD_OUT = {'dropped': 0, 'kept': 402}
LIVE = {
    'result': 'blessed',
    'gate': gate(
        ('passed', 'accuracy 0.970, minimum 0.95 (n=402)'),
        ('passed', 'shown to be better than the reference model'),
        ('not applied', 'accuracy on small images 0.8, floor 0.9 (n=15)'),
        ('passed', '8.4 ms for one image, at most 50 ms'),
        comparison=compared('better', 9, 3),
        remarks=('never predicted: owls',),
    ),
    'version': VERSION,
    'live_version': VERSION,
}
REJECTED = {
    'result': 'not blessed',
    'reasons': (REASON,),
    'gate': gate(
        ('passed', 'accuracy 0.958, minimum 0.95 (n=402)'),
        ('failed', REASON),
        comparison=compared('worse', 0, 6),
    ),
    'live_version': VERSION,
}


def example(
    run_id: str = '2026-11-21T18:04:54.991458',
    state: dict = LIVE,
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
        'recipe': recipe.name,
        'id': run_id,
        'started': f'{run_id[:19]}Z' if run_id.startswith('20') else STARTED,
        'ended': MADE,
        'seconds': 61.3,
        'config': recipe.model_dump(mode='json'),
        **state,
        'lists': ('/srv/runs/filtered_160/artifacts/quarantine/1/span-1/list.jsonl',),
        'held_out': HELD_OUT,
        'test_images': 'a',
        'decisions_on_test_images': 1,
        'data': _data(classes),
        'evaluation': {
            'classes': classes,
            'threshold': 0.5,
            'candidate': model_result(0.97 + better, classes),
            'reference': model_result(0.955, classes),
        },
        'robustness': _robustness(),
        'serving': {
            'problems': (),
            'checks': ('both signatures work', 'a corrupted image gets NaN'),
            'largest_difference': 3.6e-7,
            'load_seconds': 1.42,
            'latency_ms': 8.4,
            'latency_ms_p95': 9.9,
            'memory_mb': 143,
            'size_mb': 11.7,
        },
        'converted': _converted(float16=390, int8=366, onnx=390),
        'stages': [_stage('stage 1, head', 0.5, 9), _stage('stage 2, fine-tuning', 0.3, 7)],
        'network': [
            {'size': 5, 'channels': 1280, 'layers': 4, 'parameters': 1_030_000, 'trained': 830_000},
            {'size': None, 'channels': 1, 'layers': 1, 'parameters': 1281, 'trained': 1281},
        ],
        'calibration': {
            'temperature': 1.56,
            'images': 405,
            'before': {'log_loss': 0.0448, 'calibration_error': 0.0153},
            'after': {'log_loss': 0.0382, 'calibration_error': 0.0139},
        },
        'nodes': {'ImageExampleGen': 3.6, 'StatisticsGen': 0.1, 'Trainer': 37.9, 'Pusher': 0.13},
        'cached': ('StatisticsGen',),
        'origin': {
            'model': _trained(VERSION, run_id),
            'parents': [_trained('1795197947', '2026-11-20T18:04')],
            'reference': _trained('1795197947', '2026-11-20T18:04'),
        },
    }
    return ReportData.model_validate({**values, **changes})


def store(home, run: ReportData, page: str = 'page', keep: int = 9) -> None:
    """Stores the record and the report of a run."""
    write_run(home, run)
    store_report(home, run, page, keep)


def model_result(accuracy: float, classes: tuple[str, ...]) -> ModelResult:
    """Results for an accuracy, with all slicing features."""
    shares = {'dark': 0.925, 'blurred': 0.93, 'small': 0.80, 'tall': 0.955}
    slices = [_slice('class', name, 402 // len(classes), accuracy) for name in classes]
    for feature, names in SLICES.items():
        for name, images in zip(names, (15 if feature == 'size' else 120, 200, 82), strict=True):
            slices.append(_slice(feature, name, images, shares.get(name, accuracy)))
    overall = _slice('', '', 402, accuracy)
    overall['metrics'] |= {
        'auc': {'value': 0.9945, 'low': 0.989, 'high': 0.998},
        'log_loss': {'value': 1.06 - accuracy, 'low': 0.06, 'high': 0.13},
        'ece': {'value': 0.0142},
    }
    rates = [number / 400 for number in range(401)]
    of_class, diagonal = 402 // len(classes), np.eye(len(classes), dtype=int)
    right = min(round(of_class * accuracy), of_class - 1)
    return ModelResult.model_validate(
        {
            'slices': [overall, *slices, _slice('source', 'camera', 402, accuracy)],
            'confusion': (
                right * diagonal + (of_class - right) * np.roll(diagonal, 1, axis=1)
            ).tolist(),
            'roc': [(x, x ** (0.08 / accuracy)) for x in rates],
            'precision_recall': [(x, 1 - 0.4 * x**12 / accuracy) for x in rates],
            'calibration': [
                {'confidence': x / 10 + 0.05, 'share': x / 10 + 0.03, 'images': images}
                for x, images in enumerate((150, 22, 8, 4, 3, 4, 6, 12, 24, 169))
            ],
        }
    )


def _slice(feature: str, name: str, images: int, share: float) -> dict:
    accuracy = wilson(round(images * share), images)
    return {'feature': feature, 'name': name, 'images': images, 'metrics': {'accuracy': accuracy}}


def _data(classes: tuple[str, ...]) -> dict:
    return {
        'counts': {
            split: {name: images + 7 * number for number, name in enumerate(classes)}
            for split, images in (('train', 587), ('eval', 199), ('test', 194))
        },
        'tally': {'seen': 2009, 'bad': {'truncated': 4, 'not an image': 3}, 'duplicates': 2},
        'examples': [
            {'source': 'cats/cat.1041.jpg', 'reason': 'truncated', 'detail': 'it ends too early'},
            {'source': 'dogs/<b>.jpg', 'reason': 'not an image', 'detail': 'it is text'},
        ],
    }


def _robustness() -> dict:
    losses = {'noise': 0.04, 'blur': 0.03, 'jpeg': 0.012, 'darkness': 0.09, 'rotation': 0.02}
    return {
        'clean': wilson(97, 100),
        'images': 100,
        'corrupted': [
            {
                'corruption': name,
                'severity': severity,
                'accuracy': wilson(right, 100),
                'loss': (97 - right) / 100,
            }
            for name, loss in losses.items()
            for severity in (1, 2, 3)
            for right in [round(97 - 100 * loss * severity**1.4)]
        ],
        'mistakes': [
            {
                'filename': f'cats/cat.{number}.jpg',
                'label': 'cats',
                'predicted': 'dogs',
                'probability': 0.998 - number / 50,
                'picture': 'p.png',
                'explanation': 'x.png',
            }
            for number in range(6)
        ],
        **{name: [_changed(name, number) for number in range(2)] for name in ('worse', 'better')},
    }


def _changed(name: str, number: int) -> dict:
    before, after = ('cats', 'dogs') if name == 'worse' else ('dogs', 'cats')
    file = f'cats/{name}.{number}.jpg'
    return {
        'filename': file,
        'label': 'cats',
        'before': before,
        'predicted': after,
        'probability': 0.9,
        'picture': 'p.png',
    }


def _converted(**correct: int) -> dict:
    models = [
        {
            'format': name,
            'file': name,
            'megabytes': 4.6,
            'agreement': 1.0,
            'accuracy': wilson(images, 402),
            'milliseconds': 5.1,
            'within_bound': images == 390,
        }
        for name, images in correct.items()
    ]
    return {'images': 402, 'max_drop': 0.02, 'saved_model': wilson(390, 402), 'models': models}


def _trained(version: str, run: str) -> dict:
    return {
        'artifact': f'/models/{run}',
        'version': version,
        'run': run,
        'trained': MADE,
        'spans': {6: '2f468401f24d71179e92', 7: 'aa468401f24d71179e92'},
        'code': '9f86d081884c7d65',
        'weights': 'imagenet',
        'changed': {},
        'tuned': None,
        'data': 'folder /photographs',
        'classes': ('cats', 'dogs'),
    }


def _stage(name: str, start: float, best_epoch: int) -> dict:
    loss = [start / (1 + 0.4 * epoch) + 0.05 for epoch in range(10)]
    metrics = {
        'loss': loss,
        'val_loss': [0.6 * each + 0.04 for each in loss],
        'accuracy': [1 - 0.4 * each for each in loss],
        'val_accuracy': [1 - 0.3 * each for each in loss],
    }
    return {'name': name, 'metrics': metrics, 'best_epoch': best_epoch}


def picture() -> bytes:
    """A PNG."""
    buffer = io.BytesIO()
    PIL.Image.linear_gradient('L').save(buffer, 'PNG')
    return buffer.getvalue()


def images_for(data: ReportData) -> PageImages:
    """Samples, augmented views and mistakes."""
    image = data_uri(picture())
    return PageImages(
        samples=((data.evaluation.classes[0], image),) * 8,
        views=image,
        mistakes=tuple((each, image, image) for each in data.robustness.mistakes),
        worse=tuple((each, image) for each in data.robustness.worse),
        better=tuple((each, image) for each in data.robustness.better),
    )

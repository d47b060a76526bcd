"""What the Evaluator measures on the test split."""

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from common import features
from components.evaluation.config import SLICED_BY, EvaluationConfig
from components.evaluation.metrics.classifier_metrics import ClassifierMetrics


def eval_config(
    config: EvaluationConfig, classes: Sequence[str], threshold: float, code: str
) -> tfma.EvalConfig:
    """Metrics over all images and in slices; no thresholds, for the gate judges.

    One metric of our own counts once and derives the rest. Those of TFMA would mislead: its
    `Accuracy` compares probabilities with labels for equality and gives 0, its Precision and Recall
    of a class ask for a probability of a half and not for the likeliest class, its
    CategoricalCrossEntropy takes an index for one-hot, and its AUC over a hundred classes was 0.04
    off with 200 thresholds, and slow.

    Args:
        config: where slices are cut.
        classes: names in the order of the labels.
        threshold: probability from which on the second of two classes is said.
        code: hash of the code that the Evaluator runs; so it is part of the cache key.
    """
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name=features.SIGNATURE_EXAMPLES,
                label_key=features.LABEL,
                prediction_key=features.PROBABILITY,
            )
        ],
        slicing_specs=[
            tfma.SlicingSpec(),
            *(tfma.SlicingSpec(feature_keys=[name]) for name in SLICED_BY),
        ],
        metrics_specs=[tfma.MetricsSpec(metrics=[_metric(config, len(classes), threshold, code)])],
    )


def _metric(
    config: EvaluationConfig, classes: int, threshold: float, code: str
) -> tfma.MetricConfig:
    arguments = {
        'classes': classes,
        'threshold': threshold,
        'edges': config.edges.model_dump(mode='json'),
        'code': code,
    }
    return tfma.MetricConfig(
        class_name=ClassifierMetrics.__name__,
        module=ClassifierMetrics.__module__,
        config=json.dumps(arguments),
    )

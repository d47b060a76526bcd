"""The EvalConfig of TFX's Evaluator."""

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from common import features
from components.evaluation.config import SLICED_BY, EvaluationConfig
from components.evaluation.metrics.classifier_metrics import ClassifierMetrics


def eval_config(
    config: EvaluationConfig, classes: Sequence[str], threshold: float, code: str
) -> tfma.EvalConfig:
    """Metrics on all images and on slices, without thresholds: ModelGate applies those.

    One custom metric computes everything. TFMA's own metrics do not fit: `Accuracy` compares
    probabilities with labels for equality and gives 0; `Precision` and `Recall` of a class use a
    probability of 0.5 instead of the argmax; `CategoricalCrossEntropy` expects one-hot labels; the
    AUC of a hundred classes with 200 thresholds is slow, and was 0.04 off.

    Args:
        config: edges of the slices.
        classes: class names by label.
        threshold: probability from which the second of two classes is predicted.
        code: hash of the Evaluator's custom code, as part of the cache key.
    """
    arguments = {
        'classes': len(classes),
        'threshold': threshold,
        'edges': config.edges.model_dump(mode='json'),
        'code': code,
    }
    metric = tfma.MetricConfig(
        class_name=ClassifierMetrics.__name__,
        module=ClassifierMetrics.__module__,
        config=json.dumps(arguments),
    )
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
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
    )

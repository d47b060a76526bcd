"""What the Evaluator measures on the test split, and what a model needs to be blessed."""

from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from components.evaluation.config import EvaluationConfig
from trainer import features

ACCURACY, ACCURACY_OF_MANY = 'binary_accuracy', 'accuracy'  # of two classes, and of more
_METRICS = (
    ('AUC', 'auc'),
    ('Precision', 'precision'),
    ('Recall', 'recall'),
    ('BinaryCrossEntropy', 'loss'),
    ('ExampleCount', 'example_count'),
)
_METRICS_OF_MANY = (
    ('SparseCategoricalCrossentropy', 'loss'),
    ('ExampleCount', 'example_count'),
)


def eval_config(config: EvaluationConfig, classes: Sequence[str]) -> tfma.EvalConfig:
    """Metrics overall and per class; thresholds for accuracy.

    BinaryAccuracy is the right accuracy for one sigmoid output: the metric called `Accuracy`
    compares probabilities with labels for equality and gives 0.

    For a softmax it is SparseCategoricalAccuracy; within a class it is the recall of the class.
    More would mislead: TFMA's Precision and Recall of a class ask for a probability of a half, not
    for the likeliest class; its CategoricalCrossEntropy takes an index for one-hot; its AUC, as the
    mean over a hundred classes, was 0.04 off with 200 thresholds, and slow.
    """
    two = len(classes) == 2
    kind, name = (
        ('BinaryAccuracy', ACCURACY) if two else ('SparseCategoricalAccuracy', ACCURACY_OF_MANY)
    )
    others = [_metric(*each) for each in (_METRICS if two else _METRICS_OF_MANY)]
    accuracy = _metric(kind, name)
    accuracy.per_slice_thresholds.append(_overall(config))
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name=features.SIGNATURE_EXAMPLES,
                label_key=features.LABEL,
                prediction_key=features.PROBABILITY,
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=[features.CLASS_NAME])],
        metrics_specs=[tfma.MetricsSpec(metrics=[accuracy, *others])],
    )


def _metric(class_name: str, name: str) -> tfma.MetricConfig:
    return tfma.MetricConfig(class_name=class_name, config=f'"name": "{name}"')


def _overall(config: EvaluationConfig) -> tfma.PerSliceMetricThreshold:
    """The bounds over all images; a plain threshold would bind every class too."""
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={'value': config.baseline_accuracy}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER,
            absolute={'value': -config.max_drop},
        ),
    )
    return tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)

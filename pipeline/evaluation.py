"""What the Evaluator measures on the test split, and what a model needs to be blessed."""

import tensorflow_model_analysis as tfma

from pipeline.config import EvaluationConfig
from trainer import features

ACCURACY = 'binary_accuracy'
_METRICS = (
    ('AUC', 'auc'),
    ('Precision', 'precision'),
    ('Recall', 'recall'),
    ('BinaryCrossEntropy', 'loss'),
    ('ExampleCount', 'example_count'),
)


def eval_config(config: EvaluationConfig) -> tfma.EvalConfig:
    """Metrics overall and per class; thresholds for accuracy.

    BinaryAccuracy is the right accuracy for one sigmoid output: the metric called `Accuracy`
    compares probabilities with labels for equality and gives 0.
    """
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={'value': config.baseline_accuracy}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER,
            absolute={'value': -config.max_drop},
        ),
    )
    overall = tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    accuracy = tfma.MetricConfig(
        class_name='BinaryAccuracy',
        config=f'"name": "{ACCURACY}"',
        per_slice_thresholds=[overall],  # a plain threshold would bind every class too
    )
    others = [
        tfma.MetricConfig(class_name=name, config=f'"name": "{key}"') for name, key in _METRICS
    ]
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

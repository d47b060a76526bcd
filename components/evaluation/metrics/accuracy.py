"""The accuracy that is written beside a pushed model."""

from pathlib import Path

_OVERALL = ('accuracy', 'binary_accuracy')
_CANDIDATE = ('', 'candidate')  # TFMA's names where there is no baseline, and where there is one


def accuracy_in(evaluation: Path) -> float | None:
    """Of the candidate on all test images, from TFMA's files; None if they do not say."""
    import tensorflow_model_analysis as tfma  # seconds, unless the Evaluator ran here

    for written in tfma.load_metrics(str(evaluation)):
        if written.slice_key.single_slice_keys:
            continue
        for pair in written.metric_keys_and_values:
            key = pair.key
            if key.name in _OVERALL and key.model_name in _CANDIDATE and not key.is_diff:
                return float(pair.value.double_value.value)
    return None

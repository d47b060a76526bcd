"""TFX's Evaluator with models that read their predictions from the records."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import tensorflow as tf
from example_records import write_records
from google.protobuf import json_format
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts

from common import features
from components.evaluation.config import EvaluationConfig
from components.evaluation.metrics.classifier_metrics import eval_config
from components.evaluation.metrics.slices import custom_extractors

Evaluate = Callable[..., Path]


@pytest.fixture(scope='session')
def evaluate(tmp_path_factory) -> Evaluate:
    """`evaluate(records, classes, threshold, config)`: folder of the ModelEvaluation.

    A record is a dict of features; `candidate` and `baseline` are predictions for two classes.
    """

    def run(
        records: Sequence[Mapping[str, object]],
        classes: Sequence[str],
        threshold: float,
        config: EvaluationConfig,
    ) -> Path:
        folder = tmp_path_factory.mktemp('evaluation')
        inputs = {
            'examples': [_examples(folder / 'examples', records)],
            'model': [_model(folder / 'candidate', 'candidate')],
            'baseline_model': [_model(folder / 'baseline', 'baseline')],
        }
        outputs = {
            'evaluation': [standard_artifacts.ModelEvaluation()],
            'blessing': [standard_artifacts.ModelBlessing()],
        }
        for key, (artifact,) in outputs.items():
            artifact.uri = str(folder / key)
        tfma_config = eval_config(config, classes, threshold, code='1')
        properties = {
            'eval_config': json_format.MessageToJson(tfma_config, preserving_proto_field_name=True),
            'example_splits': json.dumps(['test']),
            'module_path': custom_extractors.__module__,
        }
        context = Executor.Context(tmp_dir=str(folder / 'tmp'), unique_id='1')
        Executor(context).Do(inputs, outputs, properties)
        assert not outputs['blessing'][0].has_custom_property('blessed')
        return folder / 'evaluation'

    return run


def _examples(folder: Path, records: Sequence[Mapping[str, object]]) -> standard_artifacts.Examples:
    write_records(folder / 'Split-test' / 'data_tfrecord-00000-of-00001.gz', records)
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(folder), json.dumps(['test'])
    examples.set_string_custom_property('payload_format', 'FORMAT_TF_EXAMPLE')
    return examples


def _model(folder: Path, feature: str) -> standard_artifacts.Model:
    class Lookup(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'examples')])
        def serve(self, examples):
            spec = {feature: tf.io.FixedLenFeature([1], tf.float32)}
            probability = tf.io.parse_example(examples, spec)[feature]
            return {features.PROBABILITY: probability, features.LOGIT: probability * 2}

    module = Lookup()
    signatures = {features.SIGNATURE_EXAMPLES: module.serve}
    tf.saved_model.save(module, str(folder / 'Format-Serving'), signatures=signatures)
    model = standard_artifacts.Model()
    model.uri = str(folder)
    return model

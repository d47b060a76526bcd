"""Training, export and evaluation with three classes."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from google.protobuf import json_format
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts

from common import features
from components.evaluation.config import EvaluationConfig
from components.evaluation.metrics.classifier_metrics import eval_config
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.metrics.slices import custom_extractors
from components.evaluation.results import ACCURACY, AUC, LOG_LOSS
from trainer.export.saved_model import export
from trainer.model.head import build_head, join
from trainer.training.stages import train

CLASSES = ('cats', 'dogs', 'foxes')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, job_of_three):
    """A job with label smoothing, its network after one stage, and the history of the stage."""
    folder = tmp_path_factory.mktemp('three')
    stage = {'epochs': 8, 'learning_rate': 1e-2}
    job = job_of_three(
        label_smoothing=0.1,
        feature_extraction=stage,
        fine_tune={'epochs': 0},
        head={'dropout': 0},
        precision='float32',
    )
    network = job.build_network()
    with job.stage_data(network, folder) as stage_data:
        (history,) = train(job.config, network, stage_data, folder / 'logs', job.timings)
    return job, network, history


@pytest.fixture(scope='module')
def model(tmp_path_factory, job_of_three):
    """The artifact folder of a model that classifies by mean brightness.

    It confuses part of the last class with the class before.
    """
    job = job_of_three()
    head = build_head(job.config, channels=3, classes=len(CLASSES))
    means = np.array([60, 125, 190]) / 255
    steepness = 60
    advantage = [0, steepness * 0.13, 0]
    head.set_weights([np.tile(2 * steepness * means / 3, (3, 1)), advantage - steepness * means**2])
    images = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    folder = tmp_path_factory.mktemp('model')
    export(keras.Model(images, head(pooled)), job.transform, job.classes, folder / 'Format-Serving')
    return folder


@pytest.fixture(scope='module')
def predictions(job_of_three, model):
    """Predictions of both signatures for the test split, and its labels."""
    records = sorted(_folder_of(job_of_three()).glob('Split-test/*'))
    serialised = [each.numpy() for each in tf.data.TFRecordDataset(list(map(str, records)))]
    examples = [tf.train.Example.FromString(each).features.feature for each in serialised]
    labels = np.array([each[features.LABEL].int64_list.value[0] for each in examples])
    images = [each[features.IMAGE_BYTES].bytes_list.value[0] for each in examples]
    signatures = tf.saved_model.load(str(model / 'Format-Serving')).signatures
    return (
        signatures[features.SIGNATURE_EXAMPLES](tf.constant(serialised)),
        signatures[features.SIGNATURE_IMAGES](tf.constant(images)),
        labels,
    )


def _folder_of(job):
    return Path(job.splits['eval'].files[0]).parents[1]


def test_head_has_one_logit_per_class_or_one_for_two(small_job):
    config = small_job(head={'hidden': [4]}).config
    for classes, units in (2, 1), (3, 3), (37, 37):
        head = build_head(config, 16, classes)
        assert head.output_shape == (None, units)
        assert head.layers[-1].name == 'logit'


def test_loss_is_cross_entropy_of_smoothed_labels(trained):
    job, network, history = trained
    images, labels = next(iter(job.splits['eval'].batches(1000)))
    model = join(network.backbone, network.head)
    logits = model(tf.cast(images, tf.float32), training=False).numpy()
    expected = np.eye(3)[labels.numpy().ravel().astype(int)]
    log_probability = scipy.special.log_softmax(logits, axis=1)
    loss = -((0.9 * expected + 0.1 / 3) * log_probability).sum(axis=1).mean()
    kept = history.best_epoch - 1
    # The cache stores float16.
    assert history.metrics['val_loss'][kept] == pytest.approx(loss, rel=0.02)
    accuracy = (logits.argmax(axis=1) == expected.argmax(axis=1)).mean()
    assert history.metrics['val_accuracy'][kept] == pytest.approx(accuracy, abs=0.05)
    assert accuracy > 0.6


def test_signatures_return_probabilities_in_class_order(predictions, model):
    outputs, outputs_of_images, labels = predictions
    probability, logit = outputs['probability'].numpy(), outputs['logit'].numpy()
    assert set(outputs) == {'probability', 'class', 'logit'}
    assert probability.shape == logit.shape == (len(labels), 3)
    assert probability.dtype == logit.dtype == np.float32
    np.testing.assert_allclose(probability, scipy.special.softmax(logit, axis=1), atol=1e-6)
    names = json.loads((model / 'Format-Serving' / 'assets.extra' / 'classes.json').read_text())
    assert tuple(names) == CLASSES
    expected = [[names[label].encode()] for label in probability.argmax(axis=1)]
    assert outputs['class'].numpy().tolist() == expected
    for key in outputs:
        assert outputs[key].numpy().tolist() == outputs_of_images[key].numpy().tolist()


@pytest.fixture(scope='module')
def evaluation(tmp_path_factory, job_of_three, model):
    """Metrics of the model from the Evaluator."""
    examples = standard_artifacts.Examples()
    examples.uri = str(_folder_of(job_of_three()))
    examples.split_names = json.dumps(features.SPLITS)
    candidate = standard_artifacts.Model()
    candidate.uri = str(model)
    outputs = {
        'evaluation': [standard_artifacts.ModelEvaluation()],
        'blessing': [standard_artifacts.ModelBlessing()],
    }
    folder = tmp_path_factory.mktemp('evaluation')
    for key, (artifact,) in outputs.items():
        artifact.uri = str(folder / key)
    config = eval_config(EvaluationConfig(), CLASSES, job_of_three().config.threshold, code='1')
    properties = {
        'eval_config': json_format.MessageToJson(config, preserving_proto_field_name=True),
        'example_splits': json.dumps(['test']),
        'module_path': custom_extractors.__module__,
    }
    context = Executor.Context(beam_pipeline_args=[], tmp_dir=str(folder / 'tmp'), unique_id='1')
    Executor(context).Do({'examples': [examples], 'model': [candidate]}, outputs, properties)
    return read_evaluation(folder / 'evaluation', CLASSES, 0.5).candidate


def test_evaluator_metrics_match_the_predictions(evaluation, predictions):
    outputs, _, labels = predictions
    probability = outputs['probability'].numpy()
    predicted = probability.argmax(axis=1)
    accuracy = (predicted == labels).mean()
    assert 0.4 < accuracy < 0.95  # a trivial accuracy would hide errors
    overall = evaluation.overall
    loss = -np.log(probability[np.arange(len(labels)), labels]).mean()
    assert overall.metrics[ACCURACY].value == pytest.approx(accuracy)
    assert overall.metrics[LOG_LOSS].value == pytest.approx(loss, rel=1e-4)
    assert overall.metrics[AUC].value > 0.8
    assert overall.images == len(labels)
    recalls = {
        name: (predicted[labels == label] == label).mean() for label, name in enumerate(CLASSES)
    }
    measured = {
        each.name: each.metrics[ACCURACY].value
        for each in evaluation.slices
        if each.feature == 'class'
    }
    assert measured == pytest.approx(recalls)

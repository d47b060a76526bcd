"""Three classes, from the batches to what the Evaluator says: a softmax over as many logits."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts

from common import features
from components.evaluation.config import EvaluationConfig
from components.evaluation.metrics.eval_config import eval_config
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.metrics.slices import custom_extractors
from components.evaluation.results import ACCURACY, AUC, LOG_LOSS
from trainer.export.saved_model import _open_interval, export
from trainer.model.head import build_head, join
from trainer.training.stages import train

CLASSES = ('cats', 'dogs', 'foxes')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, job_of_three):
    """A job with doubt in its labels, its network after one stage, and that stage's history."""
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
    """The folder of a model, as TFX has it, that knows the classes by their mean brightness.

    It errs: a part of the last class is taken for the one before.
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
    whole = keras.Model(images, head(pooled))
    export(whole, job.transform, job.classes, folder / 'Format-Serving')
    return folder


@pytest.fixture(scope='module')
def answers(job_of_three, model):
    """What both signatures say of the test split, and its labels."""
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


def test_the_head_has_a_logit_for_each_class_or_one_for_two(small_job):
    config = small_job(head={'hidden': [4]}).config
    for classes, units in (2, 1), (3, 3), (37, 37):
        head = build_head(config, 16, classes)
        assert head.output_shape == (None, units)
        assert head.layers[-1].name == 'logit'


def test_the_loss_is_the_cross_entropy_of_smoothed_labels_and_it_is_learnt(trained):
    job, network, history = trained
    images, labels = next(iter(job.splits['eval'].batches(1000)))
    model = join(network.backbone, network.head)
    logits = model(tf.cast(images, tf.float32), training=False).numpy()
    right = np.eye(3)[labels.numpy().ravel().astype(int)]
    log_odds = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -((0.9 * right + 0.1 / 3) * log_odds).sum(axis=1).mean()
    kept = history.best_epoch - 1
    assert history.metrics['val_loss'][kept] == pytest.approx(
        loss, rel=0.02
    )  # float16 in the cache
    accuracy = (logits.argmax(axis=1) == right.argmax(axis=1)).mean()
    assert history.metrics['val_accuracy'][kept] == pytest.approx(accuracy, abs=0.05)
    assert accuracy > 0.6


def test_an_answer_has_probabilities_in_the_order_of_the_classes(answers, model):
    answer, by_image, labels = answers
    probability, logit = answer['probability'].numpy(), answer['logit'].numpy()
    assert set(answer) == {'probability', 'class', 'logit'}
    assert probability.shape == logit.shape == (len(labels), 3)
    assert probability.dtype == logit.dtype == np.float32
    odds = np.exp(logit)
    np.testing.assert_allclose(probability, odds / odds.sum(axis=1, keepdims=True), atol=1e-6)
    names = json.loads((model / 'Format-Serving' / 'assets.extra' / 'classes.json').read_text())
    assert tuple(names) == CLASSES
    likeliest = [[names[label].encode()] for label in probability.argmax(axis=1)]
    assert answer['class'].numpy().tolist() == likeliest
    for key in answer:
        assert answer[key].numpy().tolist() == by_image[key].numpy().tolist()


def test_a_probability_is_never_so_small_that_its_logarithm_is_infinite():
    sure = _open_interval(tf.nn.softmax([[200.0, 0.0, 0.0]])).numpy()
    assert np.isfinite(np.log(sure)).all()
    assert np.isfinite(np.log(1 - sure)).all()


@pytest.fixture(scope='module')
def evaluation(tmp_path_factory, job_of_three, model):
    """What the Evaluator measured of the model."""
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = (
        str(_folder_of(job_of_three())),
        json.dumps(features.SPLITS),
    )
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


def test_the_evaluator_measures_what_the_signature_answers(evaluation, answers):
    answer, _, labels = answers
    probability = answer['probability'].numpy()
    guesses = probability.argmax(axis=1)
    assert 0.4 < (guesses == labels).mean() < 0.95  # else any metric would do
    overall = evaluation.overall
    loss = -np.log(probability[np.arange(len(labels)), labels]).mean()
    assert overall.metrics[ACCURACY].value == pytest.approx((guesses == labels).mean())
    assert overall.metrics[LOG_LOSS].value == pytest.approx(loss, rel=1e-4)
    assert overall.metrics[AUC].value > 0.8
    assert overall.images == len(labels)
    recalls = {
        name: (guesses[labels == label] == label).mean() for label, name in enumerate(CLASSES)
    }
    found = {
        each.name: each.metrics[ACCURACY].value
        for each in evaluation.slices
        if each.feature == 'class'
    }
    assert found == pytest.approx(recalls)

"""Loads a recipe as one frozen, validated object. Imports neither TensorFlow nor TFX."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from common import object_storage
from common.errors import ConfigError
from common.mirror import is_remote, local_path, uri_of
from common.redaction import redacted
from common.strict_model import StrictModel
from components.anomaly_gate.config import ValidationConfig
from components.conversion.converter_config import ConverterConfig
from components.evaluation.config import EvaluationConfig
from components.image_example_gen.sources.base.data_config import ONLY_FOR, DataConfig
from components.image_example_gen.sources.detect import data_overrides, detect
from components.inference.inference_config import InferenceConfig
from components.pusher.serving_folder import PushConfig
from components.serving_check.measurements import ServingCheckConfig
from pipeline.config.beam import BeamConfig
from pipeline.config.kubeflow import KubeflowConfig
from pipeline.config.metadata_config import MetadataConfig
from pipeline.config.mlflow_config import MlflowConfig
from pipeline.config.recipe_errors import explain
from pipeline.config.recipe_paths import make_absolute
from pipeline.config.recipe_yaml import parse_yaml
from pipeline.config.retraining import RetrainConfig
from trainer.config.train import FineTuneConfig, StageConfig, TrainConfig
from trainer.config.tuner import TunerConfig, combinations

RECIPES = Path(__file__).parents[2] / 'configs'
_CHECKOUT = RECIPES.parent
_log = logging.getLogger(__name__)


def _local_place(value: Any) -> Any:
    """The path of a folder, or the local folder that mirrors a URL of object storage."""
    if isinstance(value, str) and object_storage.URL.fullmatch(value):
        return str(local_path(value))  # a Path is not valid in JSON
    return value


Place = Annotated[
    Path, BeforeValidator(_local_place), PlainSerializer(uri_of, return_type=str, when_used='json')
]


class ReportConfig(StrictModel):
    """Texts of the model card, and the number of reports to keep."""

    intended_use: str = Field('', description='who should use the model, and for what')
    out_of_scope: str = Field('', description='what it should not be used for')
    considerations: str = Field('', description='ethical: who could be harmed, and how')
    keep: int = Field(50, ge=2, description='reports of runs to keep; older ones are removed')


class Recipe(StrictModel):
    """The configuration of a pipeline."""

    name: str = Field(
        pattern=r'^[a-z0-9][a-z0-9_-]*$', max_length=63, description='pipeline and folder name'
    )
    description: str = Field('', description='printed and reported, in a few words')
    workdir: Place = Field(
        Path('runs'),
        description='folder of runs, models and metadata; on Kubeflow also s3://BUCKET/PREFIX or '
        'gs://BUCKET/PREFIX, see kubeflow.storage',
    )
    push_directory: Place | None = Field(
        None, description='folder of pushed models; default: serving/ in the folder of the runs'
    )
    pipeline_root: Place | None = Field(
        None,
        description='folder of the artifacts of all recipes, in folders with their names; default: '
        'artifacts/ in the folder of the runs',
    )
    metadata: MetadataConfig = MetadataConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    trainer: TrainConfig = TrainConfig()
    tuner: TunerConfig | None = Field(
        None, description='hyperparameter search before the Trainer; default: no Tuner'
    )
    evaluation: EvaluationConfig = EvaluationConfig()
    serving_check: ServingCheckConfig = ServingCheckConfig()
    converter: ConverterConfig | None = Field(
        None, description='models in other formats next to the SavedModel; default: none'
    )
    push: PushConfig = PushConfig()
    inference: InferenceConfig | None = Field(
        None, description='predictions for unlabelled images; default: none'
    )
    beam: BeamConfig = BeamConfig()
    report: ReportConfig = ReportConfig()
    mlflow: MlflowConfig | None = Field(
        None, description='MLflow server that logs completed runs; default: none'
    )
    retrain: RetrainConfig = RetrainConfig()
    kubeflow: KubeflowConfig = KubeflowConfig()

    @field_validator('workdir', 'pipeline_root', 'push_directory')
    @classmethod
    def _is_folder(cls, path: Path | None) -> Path | None:
        if path is not None and ':/' in f'{path}/':  # also s3://, which is the path s3:
            raise ValueError(
                'must be a folder on a disk or volume, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX'
            )
        if path is not None and set('*?[\\') & set(str(path)):
            raise ValueError('must have none of * ? [ and \\, the wildcards of TensorFlow')
        return path

    @model_validator(mode='after')
    def _is_in_one_kind_of_storage(self) -> 'Recipe':
        for key, path in self.model_dump(include={'push_directory', 'pipeline_root'}).items():
            if path is not None and is_remote(path) != self.is_remote:
                raise ValueError(f'{key} and workdir: one is a folder, the other in object storage')
        if self.is_remote and self.push.url:
            raise ValueError('push.url: the bucket of workdir has the pushed models already')
        return self

    @model_validator(mode='after')
    def _tuned_values_are_valid(self) -> 'Recipe':
        space = self.tuner.space if self.tuner else {}
        for key in space:
            stage = getattr(self.trainer, key.partition('.')[0])
            if isinstance(stage, StageConfig) and not stage.epochs:
                raise ValueError(f'tuner.space.{key}: that stage has 0 epochs')
            if isinstance(stage, FineTuneConfig) and key.partition('.')[2] in stage.auto:
                raise ValueError(f'tuner.space.{key}: trainer.{key} is auto; give it a number')
        for values in combinations(space):
            try:
                self.trainer.replaced(values)
            except ValidationError as error:
                reason = error.errors()[0]['msg'].removeprefix('Value error, ')
                which = ', '.join(f'{name}: {value}' for name, value in values.items())
                raise ValueError(f'tuner.space: {which}: {reason}') from None
        return self

    def with_classes(self, classes: tuple[str, ...] | None) -> 'Recipe':
        """Returns the recipe with these `data.classes`, unless it has some or cannot have any."""
        if self.data.classes or not classes or self.data.source not in ONLY_FOR['classes']:
            return self
        data = self.data.model_copy(update={'classes': classes})
        return self.model_copy(update={'data': data})

    def as_json(self) -> str:
        """All keys, also those with defaults, except `kubeflow`; for a compiled pipeline.

        A newer image with other defaults then trains the same.
        """
        return self.model_dump_json(exclude={'kubeflow'})

    @property
    def is_remote(self) -> bool:
        """Whether runs, models and artifacts are in object storage; all paths are mirrors then."""
        return is_remote(self.workdir)

    @property
    def home(self) -> Path:
        """The folder that holds all runs of this recipe."""
        return (self.workdir / self.name).absolute()

    @property
    def artifacts_directory(self) -> Path:
        """The root of the artifacts in TFX."""
        root = self.pipeline_root / self.name if self.pipeline_root else self.home / 'artifacts'
        return root.absolute()

    @property
    def serving_directory(self) -> Path:
        return (self.push_directory or self.home / 'serving').absolute()

    @property
    def serving_bucket(self) -> Path | None:
        """The mirror of the prefix of object storage that gets the versions, if there is one."""
        if self.is_remote:
            return self.serving_directory
        return local_path(self.push.url) if self.push.url else None


def load_recipe(
    name: str,
    overrides: Sequence[tuple[str, Any]] = (),
    data: str | None = None,
    *,
    keeps_groups: bool = True,
) -> Recipe:
    """Loads a recipe, and applies overrides.

    Relative paths in the file are relative to `folder_of(file)`, those in `overrides` and `data` to
    the current folder. Both become absolute, so that each spelling has the same cache key.

    Args:
        name: path of a YAML file, or name of a recipe in `configs/`, such as `demo`.
        overrides: dotted keys and their values, applied in order.
        data: path or URL of images that replace those of the recipe; applied before `overrides`.
        keeps_groups: whether `group_by` stays for `data` of another source than the recipe's.

    Raises:
        ConfigError: the file does not exist or is not YAML, or a key or value is invalid.
        OSError: the file cannot be read.
    """
    path = find_recipe(name)
    values = {'name': name_from(path.stem), 'workdir': 'runs', **_read(path)}
    if data is not None:
        section = values.get('data')
        before = section if isinstance(section, dict) else {}
        found = detect(data)
        if found.label_pattern or found.source == 'csv':
            _log.info('%s: %s', redacted(data), found.layout)
        keys = data_overrides(data, found, before.get('source'), before.get('label_pattern'))
        if not keeps_groups and before.get('source') != found.source:
            keys.append(('data.group_by', None))
        overrides = [*keys, *overrides]
    make_absolute(values, folder_of(path))
    return recipe_of(values, overrides, origin=str(path))


def recipe_of(
    values: dict[str, Any], overrides: Sequence[tuple[str, Any]] = (), origin: str = 'recipe'
) -> Recipe:
    """Validates a recipe, the content of a YAML file, which overrides modify in place.

    Relative paths are relative to the current folder. Raises ConfigError, with all invalid keys and
    values, in lines that begin with `origin`.
    """
    for key, value in overrides:
        _set(values, key, value)
    make_absolute(values, Path.cwd())
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        lines = [f'{origin}: {line}' for line in explain(error, Recipe)]
        raise ConfigError('\n'.join(lines)) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Parses `trainer.fine_tune.from_layer=120` into a key and a YAML value.

    Raises:
        ConfigError: the key or the equals sign is missing, or the value is not YAML.
    """
    key, equals, value = text.partition('=')
    name = key.strip()
    if not equals or not all(name.split('.')):
        raise ConfigError('--set: expected KEY=VALUE, as in trainer.batch_size=64')
    try:
        return name, parse_yaml(value)
    except ConfigError as error:
        raise ConfigError(f'--set {name}: not a YAML value: {error}') from None


def find_recipe(name: str) -> Path:
    """The file of a recipe, given by path or name; raises ConfigError if there is none."""
    for path in (Path(name), RECIPES / f'{name}.yaml'):
        if path.is_file():
            return path
    known = ', '.join(sorted(path.stem for path in RECIPES.glob('*.yaml')))
    raise ConfigError(f'recipe {name} does not exist; give a YAML file or one of {known}')


def folder_of(path: Path) -> Path:
    """The folder that relative paths in a recipe are relative to: that of the file."""
    folder = path.absolute().parent
    return shipped_folder() if folder.resolve() == RECIPES.resolve() else folder


def shipped_folder() -> Path:
    """The folder of the recipes in `configs/`: the checkout, of an installed package `~/catdog`."""
    if (_CHECKOUT / 'pyproject.toml').is_file():
        return _CHECKOUT
    return Path.home() / 'catdog'


def name_from(text: str) -> str:
    """A valid name of a recipe: `My Pets` gives `my_pets`."""
    name = re.sub('[^a-z0-9_-]+', '_', text.lower()).strip('_-')
    return name[:50] or 'photographs'


def _read(path: Path) -> dict[str, Any]:
    """Parses a recipe file; raises OSError, or ConfigError if it is no mapping in YAML."""
    try:
        values = parse_yaml(path.read_text('utf-8'))
    except (UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f'{path} is not YAML: {error}') from None
    if not isinstance(values, dict):
        raise ConfigError(f'{path} is not a mapping; expected keys such as "trainer: ..."')
    return values


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split('.')
    for key in parents:
        if values.get(key) is None:  # missing or empty
            values[key] = {}
        inner = values[key]
        if not isinstance(inner, dict):
            raise ConfigError(f'--set {dotted}: {key} is a value, not a mapping')
        values = inner
    values[last] = value

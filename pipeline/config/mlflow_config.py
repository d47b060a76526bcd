"""The `mlflow:` section of a recipe."""

from pydantic import Field

from common.strict_model import StrictModel
from pipeline.config.addresses import HttpAddress


class MlflowConfig(StrictModel):
    """The MLflow server that completed runs are logged to."""

    tracking_uri: HttpAddress = Field(
        description='http://HOST:PORT or https://HOST of an MLflow server; credentials are in '
        "MLflow's environment variables, such as MLFLOW_TRACKING_USERNAME"
    )
    experiment: str | None = Field(
        None, min_length=1, max_length=250, description='default: the name of the recipe'
    )
    timeout_seconds: int = Field(
        60, ge=5, le=3600, description='time to log a run, with the upload of its model'
    )

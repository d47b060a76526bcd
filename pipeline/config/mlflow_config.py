"""The `mlflow:` section of a recipe."""

import re

from pydantic import Field, field_validator

from common.strict_model import StrictModel

_ADDRESS = re.compile(r'https?://[^/?#;@\s]+(/[^?#;@\s]*)?')


class MlflowConfig(StrictModel):
    """The MLflow server that completed runs are logged to."""

    tracking_uri: str = Field(
        description='http://HOST:PORT or https://HOST of an MLflow server; credentials are in '
        "MLflow's environment variables, such as MLFLOW_TRACKING_USERNAME"
    )
    experiment: str | None = Field(
        None, min_length=1, max_length=250, description='default: the name of the recipe'
    )
    timeout_seconds: int = Field(
        60, ge=5, le=3600, description='time to log a run, with the upload of its model'
    )

    @field_validator('tracking_uri')
    @classmethod
    def _is_address(cls, uri: str) -> str:
        if not _ADDRESS.fullmatch(uri):
            secrets = (
                '; put user name and password in the environment variables '
                'MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD'
            )
            raise ValueError(
                'expected http://HOST:PORT or https://HOST of an MLflow server'
                f'{secrets if re.search("[@?;]", uri) else ""}'
            )
        return uri.rstrip('/')

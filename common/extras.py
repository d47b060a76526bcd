"""Optional packages: the extras of a package installation; a development environment has all."""

from pathlib import Path

# Packages that a module imports, by extra; those of mlflow and onnx are needed by keys of a recipe.
PACKAGES = {
    'kubeflow': ('kfp', 'kfp_server_api'),
    'mlflow': ('mlflow',),
    'onnx': ('tf2onnx', 'onnx', 'onnxruntime'),
    'serve': ('prometheus_client', 'starlette', 'uvicorn', 'werkzeug'),
}
_IS_CHECKOUT = (Path(__file__).parents[1] / 'Makefile').exists()


def how_to_install(extra: str) -> str:
    """The command that installs an extra, for messages.

    In a checkout not pip, which would replace locked packages by others.
    """
    command = 'make venv-dev' if _IS_CHECKOUT else f"pip install 'catdog-pipeline[{extra}]'"
    return f'`{command}` adds it'

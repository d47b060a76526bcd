"""Makes the relative paths of a recipe absolute."""

import os
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from trainer.config.train import NAMED_WEIGHTS, TrainConfig


def make_absolute(values: dict[str, Any], model: type[BaseModel], folder: Path) -> None:
    """Makes the paths in `values`, the keys of a model in a YAML file, absolute, in place.

    Relative ones are relative to `folder`, and `~` is the home folder. Leaves what cannot be a
    path, such as a URL, to the validation.
    """
    for key, field in model.model_fields.items():
        value, inner = values.get(key), model_of(field.annotation)
        if isinstance(value, dict) and inner:
            make_absolute(value, inner, folder)
        elif isinstance(value, str) and _is_path(value, model, key):
            expanded = os.path.expanduser(value)  # noqa: PTH111 - Path raises for unknown users
            values[key] = without_parents(folder / expanded)


def model_of(annotation: Any) -> type[BaseModel] | None:
    """Finds the pydantic model in an annotation such as `FineTuneConfig` or `X | None`."""
    candidates = get_args(annotation) if get_origin(annotation) else (annotation,)
    models = (each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel))
    return next(models, None)


def _is_path(value: str, model: type[BaseModel], key: str) -> bool:
    is_weights_file = model is TrainConfig and key == 'weights' and value not in NAMED_WEIGHTS
    is_path = is_weights_file or _holds_path(model.model_fields[key].annotation)
    return is_path and value != '' and ':/' not in value


def _holds_path(annotation: Any) -> bool:
    """Whether an annotation is Path, or such as `Annotated[Path, ...] | None`."""
    return annotation is Path or any(map(_holds_path, get_args(annotation)))


def without_parents(path: Path) -> str:
    """The path without `..`, except after a link, where that would be another place."""
    shortest = os.path.normpath(path)
    try:
        same = path.resolve() == Path(shortest).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, null bytes, no valid Unicode
        return str(path)
    return shortest if same else str(path)

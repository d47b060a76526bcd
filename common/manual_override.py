"""The manual override of a gate decision.

It is a file in the folder of the Trainer's model, so it is valid for every gate decision on that
model, also with another reference model; and in each version that holds the model.
"""

from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from common.errors import ModelError
from common.mirror import uri_of
from common.storage import storage_of
from common.strict_model import StrictModel

OVERRIDE_FILE = 'override.json'
OVERRIDE = 'manual_override'  # custom property of predictions


class ManualOverride(StrictModel):
    """Manual decision on a model; overrides the gate."""

    blessed: (
        bool  # whether the model may be pushed, be a reference model, and be used for a warm start
    )
    person: str
    reason: str
    moment: AwareDatetime  # time of the decision

    def describe(self) -> str:
        """One clause for messages."""
        action = 'manually blessed' if self.blessed else 'its blessing was manually withdrawn'
        return f'{action} by {self.person}: {self.reason}'


def read_override(model: Path) -> ManualOverride | None:
    """Reads the manual override of a Model artifact's folder; None if there is none.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        return ManualOverride.model_validate_json(storage_of(model).read(OVERRIDE_FILE))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        file = uri_of(model / OVERRIDE_FILE)
        raise ModelError(f'{file} is damaged: bless or unbless the model again') from error


def write_override(model: Path, override: ManualOverride) -> None:
    """Writes the manual override to a Model artifact's folder, atomically.

    Raises:
        OSError: the folder is not writable.
    """
    storage_of(model).write(OVERRIDE_FILE, override.model_dump_json(indent=1).encode())

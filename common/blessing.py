"""What a person says of a model, in place of the gate. Imports no TensorFlow and no TFX.

It stands beside the Trainer's model: the gate may judge that model again, on other images or beside
another baseline, and its answer would then be a new artifact that knows nothing of the person's.
"""

import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ModelError

JUDGEMENT_FILE = 'by_hand.json'  # in the folder of the Trainer's model


class Judgement(BaseModel):
    """The last word on a model.

    Attributes:
        blessed: whether it may be pushed, be a baseline, and be continued from.
        person: who said so.
        reason: why.
        moment: when, with a time zone.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')

    blessed: bool
    person: str
    reason: str
    moment: datetime.datetime

    def in_words(self) -> str:
        """A clause for a person."""
        how = 'blessed' if self.blessed else 'its blessing was withdrawn'
        return f'{how} by hand by {self.person}: {self.reason}'


def read_judgement(model: Path) -> Judgement | None:
    """What a person has said of the model in a folder of the Trainer; None if nobody did.

    Raises:
        ModelError: the file holds something else; to go on without would be to guess.
    """
    path = model / JUDGEMENT_FILE
    try:
        return Judgement.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ModelError(f'{path} is damaged: bless or unbless the model again') from error


def withdrawal(model: Path | None) -> str | None:
    """What a person said who withdrew the blessing of a model; None if it stands, or is none."""
    said = read_judgement(model) if model else None
    return said.in_words() if said and not said.blessed else None


def write_judgement(model: Path, judgement: Judgement) -> None:
    """Replaces what was said before.

    Raises:
        OSError: the folder cannot be written.
    """
    aside = model / f'.{JUDGEMENT_FILE}'
    aside.write_text(judgement.model_dump_json(indent=1), encoding='utf-8')
    aside.replace(model / JUDGEMENT_FILE)

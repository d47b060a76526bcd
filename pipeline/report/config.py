"""What the page of a run says beside its numbers: the `report:` part of a recipe."""

from pydantic import Field

from trainer.config import StrictModel


class ReportConfig(StrictModel):
    """Words for the model card that only a person knows, and how many pages are kept."""

    intended_use: str = Field('', description='who should use the model, and for what')
    out_of_scope: str = Field('', description='what it should not be used for')
    considerations: str = Field('', description='ethical ones: who could be harmed, and how')
    keep: int = Field(50, ge=2, description='pages of runs; older ones are removed')

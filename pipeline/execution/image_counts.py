"""What became of the images of a run, from what ImageExampleGen noted."""

import dataclasses
from pathlib import Path

from common.artifacts import folder_of
from components.image_example_gen.component import EXAMPLES, QUARANTINE
from components.image_example_gen.ingestion.quarantine import LIST
from components.image_example_gen.ingestion.span import read_ingested
from components.image_example_gen.ingestion.tally import Tally
from components.inference.folder_inferrer import OUTPUT_EXAMPLES, TABLE
from pipeline.execution.launch import NodeResult


@dataclasses.dataclass(frozen=True)
class Images:
    """The images of all spans of a run.

    Attributes:
        tally: how many there were, and what became of them.
        lists: files that name those that were set aside, one for each span that has any.
    """

    tally: Tally
    lists: tuple[Path, ...]


def read_images(results: dict[str, NodeResult]) -> Images | None:
    """The images of a run; None if it began with records that were ready."""
    if 'ImageExampleGen' not in results:
        return None
    outputs = results['ImageExampleGen'].outputs
    (quarantine,) = (folder_of(artifact.uri) for artifact in outputs[QUARANTINE])
    folders = [folder_of(artifact.uri) for artifact in outputs[EXAMPLES]]
    tallies = {folder.name: read_ingested(folder).tally for folder in folders}
    lists = tuple(quarantine / name / LIST for name, tally in tallies.items() if tally.bad)
    return Images(sum(tallies.values(), Tally()), lists)


def read_answers(results: dict[str, NodeResult]) -> Path | None:
    """The table of what the model says of images without labels; None if it was not asked."""
    if 'BulkInferrer' not in results:
        return None
    (examples,) = results['BulkInferrer'].outputs[OUTPUT_EXAMPLES]
    table = folder_of(examples.uri) / TABLE
    return table if table.exists() else None

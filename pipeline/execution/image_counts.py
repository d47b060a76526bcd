"""Image counts, quarantine lists and predictions of a run, read from its artifacts."""

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
    """Images of all spans of a run."""

    tally: Tally  # image counts, summed over the spans
    lists: tuple[Path, ...]  # JSON Lines files of the quarantined images, one per span with any


def read_images(results: dict[str, NodeResult]) -> Images | None:
    """Reads the image counts of a run; None if the run imports ready-made TFRecords."""
    if 'ImageExampleGen' not in results:
        return None
    outputs = results['ImageExampleGen'].outputs
    (quarantine,) = (folder_of(artifact.uri) for artifact in outputs[QUARANTINE])
    folders = [folder_of(artifact.uri) for artifact in outputs[EXAMPLES]]
    tallies = {folder.name: read_ingested(folder).tally for folder in folders}
    lists = tuple(quarantine / name / LIST for name, tally in tallies.items() if tally.bad)
    return Images(sum(tallies.values(), Tally()), lists)


def predictions_table(results: dict[str, NodeResult]) -> Path | None:
    """Path of the predictions for unlabelled images; None if the run made none."""
    if 'BulkInferrer' not in results:
        return None
    (examples,) = results['BulkInferrer'].outputs[OUTPUT_EXAMPLES]
    table = folder_of(examples.uri) / TABLE
    return table if table.exists() else None

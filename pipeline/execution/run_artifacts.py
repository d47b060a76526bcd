"""Finds output artifacts of a run, files in them, and image counts."""

import dataclasses
from pathlib import Path

from common.artifacts import folder_of
from common.features import JUDGED_ONLY
from common.metadata_queries import custom_property
from components.image_example_gen.image_example_gen import EXAMPLES, QUARANTINE
from components.image_example_gen.ingestion.ingested import Tally, read_ingested
from components.image_example_gen.ingestion.quarantine import LIST
from pipeline.execution.launch import NodeResult

Results = dict[str, NodeResult]  # by node id


@dataclasses.dataclass(frozen=True)
class Images:
    """Images of all spans of a run."""

    tally: Tally  # image counts, summed over the spans
    lists: tuple[Path, ...]  # JSON Lines files of the quarantined images, one per span with any


def read_images(results: Results) -> Images | None:
    """Reads the image counts of a run; None if the run imports ready-made TFRecords."""
    if 'ImageExampleGen' not in results:
        return None
    (artifact,) = results['ImageExampleGen'].outputs[QUARANTINE]
    quarantine = folder_of(artifact.uri)
    tallies = {each.name: read_ingested(each).tally for each in example_folders(results)}
    lists = tuple(quarantine / name / LIST for name, tally in tallies.items() if tally.bad)
    return Images(sum(tallies.values(), Tally()), lists)


def file_of(results: Results, node: str, key: str, name: str) -> Path | None:
    """A file in an output artifact; None if the run has no such node, output or file."""
    artifacts = results[node].outputs.get(key) if node in results else None
    file = folder_of(artifacts[0].uri) / name if artifacts else None
    return file if file and file.is_file() else None


def example_folders(results: Results) -> list[Path]:
    """Folders of the records that the model was trained on, one per span, oldest first."""
    ingestion = results.get('ImageExampleGen')
    artifacts = ingestion.outputs[EXAMPLES] if ingestion else ()
    return [folder_of(each.uri) for each in artifacts if not custom_property(each, JUDGED_ONLY)]

"""Runs components as nodes of a TFX pipeline on this machine."""

from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Artifact

from pipeline.local.runner import ProgressDagRunner


def imported(name: str, uri: Path, kind: type[Artifact], **properties: int) -> BaseNode:
    """A node of this name whose output `result` is an artifact of a folder."""
    return Importer(str(uri), kind, custom_properties=properties or None).with_id(name)


def run_nodes(folder: Path, *nodes: BaseNode) -> dict[str, Any]:
    """Runs a pipeline with its artifacts and metadata in a folder; results by name of the node."""
    database = sqlite_metadata_connection_config(str(folder / 'metadata.sqlite'))
    runner = ProgressDagRunner()
    runner.run(
        Pipeline(
            'stage',
            str(folder / 'artifacts'),
            components=[*nodes],
            enable_cache=True,
            metadata_connection_config=database,
        )
    )
    return runner.results

"""What the model of a run was made of, from the metadata."""

from pipeline.config import Recipe
from pipeline.launch import NodeResult
from pipeline.lineage import Ancestor, lineage_of
from pipeline.metadata import existing_store
from pipeline.provenance import Provenance
from pipeline.report.data import ModelName, Origin


def read_origin(recipe: Recipe, results: dict[str, NodeResult]) -> Origin | None:
    """Spans, code, parents and baseline; None if the metadata does not know the model."""
    artifacts = results['Trainer'].outputs.get('model', []) if 'Trainer' in results else []
    provenance = Provenance(existing_store(recipe.metadata, recipe.home), recipe.name)
    if not artifacts or provenance.producer(artifacts[0]) is None:
        return None
    found = lineage_of(provenance, artifacts[0])
    return Origin(
        trained_by=found.model.run, trained=found.model.trained, spans=dict(found.model.spans),
        code=found.model.code, weights=found.model.weights,
        parents=tuple(map(_named, found.parents)),
        baseline=_named(found.baseline) if found.baseline else None,
        tuned=found.model.tuned,
    )  # fmt: skip


def _named(model: Ancestor) -> ModelName:
    return ModelName(version=model.version, run=model.run)

"""Checks of the result of an ingestion: too many bad images, classes without images in a split."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from common.errors import DataError
from common.features import SPLITS
from common.mirror import uri_of
from common.storage import storage_of
from components.image_example_gen.ingestion.ingested import (
    RUN,
    Counts,
    Run,
    Tally,
    describe_bad,
    read_ingested,
)
from components.image_example_gen.ingestion.quarantine import LIST, read_quarantined

_NOT_TRAINED = 'unknown class'  # a recipe may have some of the classes of the data
_SHOWN = 5


def check_bad_share(tallies: Mapping[str, Tally], limit: float, quarantine: Path) -> None:
    """Raises DataError if the share of images that cannot be used is above the limit.

    Images of unknown classes do not count. TFX removes the quarantine after an error, so its lists
    are copied to one in `refused`. The keys of `tallies` are the names of the folders of spans.
    """
    tally = sum(tallies.values(), Tally())
    reasons = {reason: number for reason, number in tally.bad.items() if reason != _NOT_TRAINED}
    bad, seen = sum(reasons.values()), tally.seen - tally.bad.get(_NOT_TRAINED, 0)
    if bad <= limit * seen:
        return
    lines = [
        line | {'source': f'{name}/{line["source"]}'}
        for name in tallies
        for line in read_quarantined(quarantine / name)
    ]
    refused = quarantine.parent.parent / 'refused'
    storage_of(refused).write(LIST, ''.join(f'{json.dumps(line)}\n' for line in lines).encode())
    examples = [
        f'{line["source"]}: {line["detail"]}' for line in lines if line['reason'] in reasons
    ]
    message = (
        f'{bad} of {seen} images ({bad / seen:.1%}) cannot be used, more than the '
        f'{limit:.1%} of data.checks.max_bad_share: {describe_bad(reasons)}; such as '
        f'{"; ".join(examples[:3])}; all are listed in {uri_of(refused)}'
    )
    if 'under two labels' in reasons:
        message += '; if images of different classes look alike, set data.checks.near_distance: 0'
    raise DataError(message)


def describe_left_spans(earlier: str, trained: Collection[int]) -> str | None:
    """Counts the images that the earlier ingestion trained on, and this one does not; or None.

    `earlier` is its folder, empty without one; `trained` has the numbers of the spans to train on.
    """
    try:
        before = Run.model_validate_json((Path(earlier) / RUN).read_bytes()) if earlier else None
        left = [n for n in before.trained_spans if n not in trained] if before else []
        counts = [read_ingested(Path(earlier) / f'span-{number}').counts for number in left]
    except (OSError, ValueError):  # removed since, or of another version
        return None
    images = sum(sum(each[split].values()) for each in counts for split in ('train', 'eval'))
    names = f'span{"s" * (len(left) > 1)} {", ".join(map(str, left))}'
    return f'no longer trained on: {images:,} images of {names}' if left else None


def describe_empty_splits(spans: Sequence[Counts], window: int, test_window: int) -> str | None:
    """Describes the classes without images in a split, of spans with the oldest first, or None.

    `window` is the number of newest spans to train on, `test_window` to evaluate on. Raises
    DataError if a split has no images at all.
    """
    used: dict[str, Counter[str]] = {}
    for split in SPLITS:
        newest = spans[-(test_window if split == 'test' else window) :]
        used[split] = sum((Counter(each[split]) for each in newest), Counter())
        if not used[split]:
            images = sum(sum(counts.values()) for each in spans for counts in each.values())
            raise DataError(f'{images} images are too few: the {split} split got none; add more')
    lacking = {name: [s for s in SPLITS if not used[s][name]] for name in spans[0]['test']}
    worst = sorted(filter(lacking.get, lacking), key=lambda name: -len(lacking[name]))
    if not worst:
        return None
    shown = [f'{name} (no {", ".join(lacking[name])})' for name in worst[:_SHOWN]]
    return (
        f'{len(worst)} of {len(lacking)} classes {"has" if len(worst) == 1 else "have"} no images '
        f'in a split: {", ".join(shown)}{", ..." * (len(worst) > _SHOWN)}; add images or groups'
    )

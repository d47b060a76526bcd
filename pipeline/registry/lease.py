"""A lease in ML Metadata, so that runs of a recipe do not overlap in pods that share no lock.

The n-th lease of a recipe is the context `RECIPE/n` of type `catdog.Lease`. ML Metadata creates a
name only once, so of two runs that want the next lease, one gets it. Imports no TFX.
"""

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator

from ml_metadata import MetadataStore, errors
from ml_metadata.proto.metadata_store_pb2 import Context, ContextType

from common.errors import AlreadyRunning
from common.metadata_queries import custom_property

LEASE = datetime.timedelta(hours=1)  # longer than a pod usually waits for a cluster node
_TYPE = 'catdog.Lease'
_RENEWAL_SECONDS = 300.0
_HOLDER, _EXPIRES = 'holder', 'expires'  # custom properties: run ID, time in ISO 8601


def hold_lease(store: MetadataStore, recipe: str, run: str) -> None:
    """Acquires the lease of a recipe for a run, or renews it, for an hour.

    Raises:
        AlreadyRunning: another run holds the lease.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    number, last = _last(store, recipe)
    holder = custom_property(last, _HOLDER)
    if last is None or (holder != run and _expires(last) <= now):
        type_id = store.put_context_type(ContextType(name=_TYPE))
        last, holder = Context(type_id=type_id, name=f'{recipe}/{number + 1}'), run
    if holder != run:
        raise _in_progress(recipe, last)
    try:
        _put(store, last, run, now + LEASE)
    except (errors.AlreadyExistsError, errors.AbortedError):
        raise AlreadyRunning(f'another run of {recipe} started at the same time') from None


def release_lease(store: MetadataStore, recipe: str, run: str) -> None:
    """Ends the lease of a run; does nothing if the run does not hold it."""
    _, last = _last(store, recipe)
    if last is not None and custom_property(last, _HOLDER) == run:
        _put(store, last, run, datetime.datetime.now(datetime.timezone.utc))


def check_lease_is_free(store: MetadataStore, recipe: str) -> None:
    """Raises AlreadyRunning if a run holds the lease."""
    _, last = _last(store, recipe)
    if last is not None and _expires(last) > datetime.datetime.now(datetime.timezone.utc):
        raise _in_progress(recipe, last)


def lease_holder(store: MetadataStore, recipe: str) -> str | None:
    """The ID of the run that holds the lease; None if no run does."""
    _, last = _last(store, recipe)
    if last is None or _expires(last) <= datetime.datetime.now(datetime.timezone.utc):
        return None
    return str(custom_property(last, _HOLDER))


@contextlib.contextmanager
def held_lease(connect: Callable[[], MetadataStore], recipe: str, run: str) -> Iterator[None]:
    """Holds the lease of a run, and renews it every five minutes in a thread.

    `connect` opens a connection for the thread. After the context the lease lasts up to an hour,
    for the next task of the run.

    Raises:
        AlreadyRunning: another run holds the lease.
    """
    hold_lease(connect(), recipe, run)
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEWAL_SECONDS):
            with contextlib.suppress(Exception):  # the server may be back in five minutes
                hold_lease(connect(), recipe, run)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _in_progress(recipe: str, lease: Context) -> AlreadyRunning:
    return AlreadyRunning(
        f'run {custom_property(lease, _HOLDER)} of {recipe} is in progress; wait until it ends, or '
        f'stop it (if it no longer exists, its lease ends at {_expires(lease):%Y-%m-%d %H:%M} UTC)'
    )


def _last(store: MetadataStore, recipe: str) -> tuple[int, Context | None]:
    """The last lease of a recipe and its number; 0 and None if there is none."""
    leases = {
        int(number): each
        for each in store.get_contexts_by_type(_TYPE)
        for name, _, number in [each.name.rpartition('/')]
        if name == recipe
    }
    number = max(leases, default=0)
    return number, leases.get(number)


def _expires(lease: Context) -> datetime.datetime:
    return datetime.datetime.fromisoformat(custom_property(lease, _EXPIRES))


def _put(store: MetadataStore, lease: Context, run: str, expires: datetime.datetime) -> None:
    lease.custom_properties[_HOLDER].string_value = run
    lease.custom_properties[_EXPIRES].string_value = expires.isoformat()
    store.put_contexts([lease])

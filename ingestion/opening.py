"""The plain bytes of an object of the store, from any offset."""

from functools import partial

from django.conf import settings

from ingestion.sources.inflate import Limits
from ingestion.sources.unpacking import Unpacked
from ingestion.storage import StoredObject, store


def opened(item: StoredObject, offset: int) -> Unpacked:
    """Return the pinned object's bytes, unpacked, from an offset in them.

    Iterating raises what reading the store does, and SourceError.
    """
    return Unpacked(
        partial(store().blocks, item),
        item.size,
        limits=Limits(most_bytes=settings.INGEST_UNPACKED_MAX_BYTES),
        offset=offset,
    )

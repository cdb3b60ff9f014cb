"""Reads about ingested files."""

from collections.abc import Mapping
from typing import Any

from ingestion.storage import object_key, store

#: Where a result names an artifact, and what its link is called.
_ARTIFACTS = {"rejects_path": "rejects", "conflicts_path": "conflicts"}


def result_downloads(tenant: str, result: Mapping[str, Any]) -> dict[str, str]:
    """Return short-lived links to the files a result names, if the store has links."""
    links = {
        name: store().link(object_key(tenant, result[field]))
        for field, name in _ARTIFACTS.items()
        if result.get(field)
    }
    return {name: link for name, link in links.items() if link is not None}

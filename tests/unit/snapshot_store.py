"""Snapshots kept as the product keeps them: only what has changed is written."""

from dataclasses import dataclass, field

from fairshare.scheduler import FairScheduler, Snapshot


@dataclass
class Store:
    """What was written, as a database would have it."""

    shared: str = ""
    tenants: dict[str, str] = field(default_factory=dict)

    def keep(self, scheduler: FairScheduler[int]) -> None:
        snapshot, gone = scheduler.changes()
        self.shared = snapshot.shared_json()
        self.tenants.update(snapshot.tenants_json())
        for tenant in gone:
            self.tenants.pop(tenant, None)

    def read(self) -> Snapshot:
        kept = Snapshot.from_json(self.shared, self.tenants)
        matter = {n: state for n, state in kept.tenants.items() if kept.matters(state)}
        return kept._replace(tenants=matter)


def copied(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot once it was written and read."""
    return Snapshot.from_json(snapshot.shared_json(), snapshot.tenants_json())

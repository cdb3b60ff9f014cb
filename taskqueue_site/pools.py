"""How the admin offers pools: those there are, and whether anybody serves them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs import previews
from tenants.adminkit import pill, subtle
from tenants.models import Tenant, Tier

if TYPE_CHECKING:
    from django.forms import TextInput as TextInput
else:
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput


class PoolInput(TextInput):
    """A line of text that suggests pools; a new name is as good."""

    def __init__(self, pools: Iterable[str]) -> None:
        super().__init__(attrs={"list": "known-pools", "autocomplete": "off"})
        self.pools = pools

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        """Return the line, with the list it suggests from."""
        options = format_html_join(
            "", '<option value="{}">', ((p,) for p in self.pools)
        )
        datalist = format_html('<datalist id="known-pools">{}</datalist>', options)
        return super().render(*args, **kwargs) + datalist


def live_slots() -> dict[str, int]:
    """Return how many slots each pool's live workers have."""
    return previews.live_slots()


def known_pools() -> list[str]:
    """Return the pools that a worker, a tier or a tenant names, by name."""
    tiers = Tier.objects.values_list("default_pool", flat=True)
    tenants = Tenant.objects.exclude(pool="").values_list("pool", flat=True).distinct()
    return sorted({*live_slots(), *tiers, *tenants})


def pool_note(pool: str, slots: Mapping[str, int]) -> SafeString:
    """Return how many slots a pool has, loudly if none."""
    number = slots.get(pool, 0)
    if not number:
        return pill("no worker", "dead")
    return subtle(f"{number} slot{'s' if number > 1 else ''}")

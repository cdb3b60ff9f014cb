"""The screens of reconciliation."""

from reconciliation.matches_admin import MatchAdmin
from reconciliation.mismatches_admin import MismatchAdmin

__all__ = ["MatchAdmin", "MismatchAdmin"]

"""Ids of tool calls as one request needs them: never empty, never twice, of a shape that fits.

Providers leave ids out, repeat them, or refuse one another's. Invariant: the same history
gives the same ids, and a call that already has a good one keeps it.
"""

import hashlib
import re
from dataclasses import dataclass, field


@dataclass(slots=True)
class ToolIds:
    """Gives out the ids of one request; `length` is for providers that want exactly so many."""

    fits: re.Pattern[str]
    length: int | None = None
    taken: set[str] = field(default_factory=set)

    def take(self, wanted: str, place: str, *, own: bool = False) -> str:
        """The id to send for the call at this place; one of the provider's `own` always fits."""
        good = bool(wanted) and wanted not in self.taken
        if good and (own or self.fits.fullmatch(wanted)):
            chosen = wanted
        else:
            chosen = self._make(f"{wanted}@{place}")
        self.taken.add(chosen)
        return chosen

    def _make(self, seed: str) -> str:
        digest = hashlib.sha256(seed.encode()).hexdigest()
        made = digest[: self.length] if self.length else f"call_{digest[:24]}"
        return made if made not in self.taken else self._make(seed + "+")

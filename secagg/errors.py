"""One tree of errors. Each says who is at fault and what the caller can do.

| error | whose fault | what to do |
|---|---|---|
| `ConfigError` | the caller, before any message | change the parameter it names |
| `InputError` | one party's update or weight | mend that party's input; it names party and position |
| `LocalMisuse` | the caller broke the order of calls | a bug on this side |
| `WireError` | whoever made the bytes | drop them: they decode to nothing; a party's `left` tells if it was an ask |
| `StateError` | saved state that is foreign, stale or forged, or a key file that does not open | sit this round out |
| `PeerMisbehaved` | the `culprits` | a server counts them as lost; a party leaves the round |
| `PolicyRefused` | the server asks what the party's policy forbids | the party reveals nothing |
| `InconsistentModel` | who gave parties different models, rounds or configurations | the party leaves the round |
| `TooFew` | nobody: too many went silent, or fewer than the `culprits` ask for | run another round; no sum was opened |
"""

from collections.abc import Iterable, Mapping

PartyId = int | str
"""How the caller names a party: an int or a str, unique in its session."""


class SecaggError(Exception):
    """Base of every error this library raises on purpose."""


class ConfigError(SecaggError, ValueError):
    """Parameters that cannot work; raised before the first message."""


class OutOfRange(ConfigError):
    """A number (bits, clip, weight_max, threshold, ...) outside the range that the message states."""


class BadCohort(ConfigError):
    """Too few parties, a duplicate id, or an id that is neither an int nor a str."""


class UnknownParty(ConfigError):
    """An id that is not among the session's parties."""


class UnknownPhase(ConfigError):
    """A phase name that the scheme does not have."""


class InputError(SecaggError, ValueError):
    """One party's update or weight cannot be summed.

    Attributes:
        party: whose input it is, or None while no party is known.
    """

    def __init__(self, why: str, party: PartyId | None = None) -> None:
        super().__init__(why if party is None else f"party {party!r}: {why}")
        self.why = why
        self.party = party

    def of(self, party: PartyId) -> "InputError":
        """The same error, naming `party`."""
        return type(self)(self.why, party)


class NotFinite(InputError):
    """NaN or infinity; the message gives its position."""


class ShapeMismatch(InputError):
    """Another structure, shape or kind of number than the session's."""


class BadDtype(InputError):
    """Entries that are neither floats nor integers."""


class OutOfRing(InputError):
    """An integer entry outside [0, 2**bits)."""


class BadWeight(InputError):
    """A weight that is not an integer in weight_min..weight_max."""


class LocalMisuse(SecaggError, RuntimeError):
    """This side's caller broke the order of calls, or made two at once."""


class WireError(SecaggError, ValueError):
    """Bytes that are not one canonical message."""


class StateError(SecaggError):
    """Saved state or a key file that does not open, belongs elsewhere, or is older than its latch."""


class ProtocolError(SecaggError):
    """The round went wrong for this end.

    Attributes:
        culprits: the parties at fault; empty when it is the server, or nobody.
    """

    def __init__(self, why: str, culprits: Iterable[PartyId] = ()) -> None:
        super().__init__(why)
        self.culprits = frozenset(culprits)


class PeerMisbehaved(ProtocolError):
    """A peer broke the protocol. Without culprits, the server did."""


class PolicyRefused(ProtocolError):
    """The server asks for what this party's own `Policy` forbids."""


class InconsistentModel(ProtocolError):
    """The session claims another model, round or configuration than this party received."""


_NAMED = 5
"""Parties that the text of an error names before it counts the rest."""


class TooFew(ProtocolError):
    """A phase closed under its threshold: the round ends and no sum is opened.

    Attributes:
        phase: name of the phase that closed.
        answered: how many answered, or how many holders of the scarcest secret did.
        needed: how many were needed.
        culprits: whose own `Policy.min_cohort` asks for more than answered, where that is why; else nobody.

    Args:
        asking: {party: its least cohort} of the culprits.
    """

    def __init__(
        self,
        phase: str,
        answered: int,
        needed: int,
        of: str = "parties answered",
        asking: Mapping[PartyId, int] | None = None,
    ) -> None:
        asking = asking or {}
        why = f"phase {phase!r}: {answered} {of}, {needed} needed{_who_asks(asking)}; no sum was opened"
        super().__init__(why, asking)
        self.phase = phase
        self.answered = answered
        self.needed = needed


def _who_asks(asking: Mapping[PartyId, int]) -> str:
    if not asking:
        return ""
    named = [f"party {party!r} asks for {least}" for party, least in list(asking.items())[:_NAMED]]
    others = [f"{len(asking) - _NAMED} others for more, too"] if len(asking) > _NAMED else []
    return f" (Policy.min_cohort: {', '.join(named + others)})"

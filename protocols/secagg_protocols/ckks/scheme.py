"""CKKS sums as a scheme: parameters are derived from the session, and only how many help is an option."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from secagg.arguments import checked, whole
from secagg.errors import ConfigError
from secagg.primitives.ckks import Parameters
from secagg.scheme import Phase, Roster, Scheme, Seat, Session
from secagg_protocols.ckks import derive, messages, server
from secagg_protocols.ckks.facts import FACTS
from secagg_protocols.ckks.party import CkksParty
from secagg_protocols.ckks.round import Round
from secagg_protocols.ckks.stages import Advertised, Finished, Fresh, Holding

MAX_HOLDERS = 2**20


class CkksSum(Scheme):
    """Clients encrypt under one CKKS key that all of them hold, the server adds, a few of them decrypt the sum.

    The server must hand the key holders the sum it says and nothing else: they cannot tell. Any one client together
    with the server reads every update.

    Args:
        holders: how many clients are asked to deal the key (the first that answers does), and how many keep it
            until they have opened the sum.
        quorum: how many of those must answer, all with the same sum; that many that collude choose it. None: 2, or 1
            where there is one holder. The round is lost when fewer are left, or no dealer is.
        adversary: "passive", the only one: the server follows the protocol and looks at all it sees.

    Raises:
        OutOfRange, ConfigError: naming the parameter and its range, or why there is no active mode.

    Attributes:
        holders, quorum, adversary: as above, `quorum` never None.
    """

    name: ClassVar[str] = "ckks"
    facts = FACTS
    version: ClassVar[int] = 1
    phases = (
        Phase("keys", messages.AskKeys, messages.Keys, server.Advertising, CkksParty.advertise, (Fresh,)),
        Phase("deal", messages.AskDeal, messages.Deal, server.Dealing, CkksParty.deal, (Advertised,), role="dealer"),
        Phase(
            "encrypted",
            messages.AskEncrypted,
            messages.Encrypted,
            server.Adding,
            CkksParty.encrypt,
            (Advertised,),
            takes_input=True,
        ),
        Phase(
            "decrypt",
            messages.AskDecrypt,
            messages.Decrypted,
            server.Decrypting,
            CkksParty.decrypt,
            (Holding, Finished),
            role="holder",
        ),
    )

    def __init__(self, holders: int = 3, quorum: int | None = None, adversary: str = "passive") -> None:
        if isinstance(adversary, str) and adversary == "active":
            raise ConfigError(
                "adversary='active' is not what CKKS sums withstand: key holders decrypt what the server hands them, "
                "so one that lies reads any update; use pairwise masking (protocol secagg or secagg+)"
            )
        self.adversary = checked("adversary", adversary, Literal["passive"])
        self.holders: int = checked("holders", holders, whole(1, MAX_HOLDERS))
        told = checked("quorum", quorum, whole(1, self.holders, " (holders)") | None)
        self.quorum: int = min(2, self.holders) if told is None else told

    def __repr__(self) -> str:
        return f"CkksSum(holders={self.holders}, quorum={self.quorum})"

    @property
    def options(self) -> Mapping[str, str | int | float | None]:
        """How many deal and hold the key, and how many of them must say the same."""
        return {"holders": self.holders, "quorum": self.quorum}

    def parameters(self, session: Session) -> Parameters:
        """Modulus and scale for the session's ring and cohort. Raises ConfigError where SEAL has no such prime."""
        return Parameters.holding(len(session.parties), session.ring.bits)

    def capacity(self, session: Session) -> int:
        """What both the session's ring and half the scale hold, above the largest noise there can be.

        Raises ConfigError also for a session of fewer parties than must agree.
        """
        if self.quorum > len(session.parties):
            raise ConfigError(f"quorum is {self.quorum}: the session has {len(session.parties)} parties")
        return min(session.encoding.capacity, self.parameters(session).capacity)

    def server(self, session: Session, roster: Roster | None = None) -> Round:  # noqa: ARG002
        """The round as the server has it; it asks for no roster."""
        digest = derive.context_digest(session.context)
        return Round(session, self.parameters(session), self.holders, self.quorum, digest)

    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> CkksParty:
        """One client's machine; it needs no identity."""
        parameters = self.parameters(session)
        bound = derive.binding(session.digest, seat.bound_context, self.fingerprint, parameters.digest)
        return CkksParty(session, seat, parameters, bound, saved)


def ckks(n: int, holders: int = 3, quorum: int | None = None, adversary: str = "passive") -> CkksSum:
    """CKKS sums for n clients: of fewer than `holders` all of them hold the key."""
    clients, most = checked("n", n, whole(2)), checked("holders", holders, whole(1))
    return CkksSum(min(most, clients), quorum, adversary)

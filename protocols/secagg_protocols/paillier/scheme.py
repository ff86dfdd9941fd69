"""Paillier sums as a scheme."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from secagg.arguments import checked
from secagg.errors import BadCohort, ConfigError, PartyId
from secagg.primitives.key_sizes import check_key_bits
from secagg.scheme import Phase, Roster, Scheme, Seat, Session
from secagg.scheme.policy import LEAST_COHORT
from secagg_protocols.paillier import messages, server
from secagg_protocols.paillier.facts import FACTS
from secagg_protocols.paillier.keys import PaillierKeys
from secagg_protocols.paillier.parameters import Parameters
from secagg_protocols.paillier.party import PaillierParty
from secagg_protocols.paillier.slots import Slots
from secagg_protocols.paillier.stages import Fresh, Offered, Submitted

_DEAL = Phase("deal", messages.AskDeal, messages.Deal, server.Dealing, PaillierParty.deal, (Fresh,), role="dealer")
DEALT = (
    Phase(
        "encrypted",
        messages.AskEncrypted,
        messages.Encrypted,
        server.Adding,
        PaillierParty.encrypt,
        (Fresh, Offered),
        takes_input=True,
    ),
    Phase(
        "decrypt",
        messages.AskDecrypt,
        messages.Decrypted,
        server.Decrypting,
        PaillierParty.decrypt,
        (Fresh, Submitted),
        role="holder",
    ),
)
FRESH = (_DEAL, *DEALT)
"""The tables of phases under keys that were dealt in advance, and under a fresh one."""


class PaillierSum(Scheme):
    """Clients encrypt to a key, the server adds ciphertexts, the key's holders open the sum.

    Holders decrypt what the server hands them: the server is trusted to hand them nothing but the sum. With keys dealt
    in advance, `threshold` holders must be deceived; without, one client holds the key, and what it and the server know
    together opens every client's vector.

    Args:
        key_bits: of the fresh key that the first client makes for each round; 2048 or more, even. Keys that were dealt
            in advance have their own.
        keys: dealt in advance among t of m holders; the server's and the clients' have no secrets (`keys.public`), a
            holder's its own share (`keys.share(holder)`).
        helpers: holders that are parties of the session and give no input.
        adversary: "passive", the only one: the server follows the protocol and looks at all that it sees.

    Raises:
        OutOfRange, ConfigError: naming the parameter and its range.
    """

    name: ClassVar[str] = "paillier-sum"
    facts = FACTS
    version: ClassVar[int] = 1

    def __init__(
        self,
        key_bits: int = 2048,
        keys: PaillierKeys | None = None,
        helpers: Iterable[PartyId] = (),
        adversary: str = "passive",
    ) -> None:
        if not isinstance(adversary, str) or adversary != "passive":
            raise ConfigError(
                f"adversary is {adversary!r}: expected 'passive', for holders of a Paillier key open what the server "
                "hands them; take pairwise masking against an active server"
            )
        if keys is not None and not isinstance(keys, PaillierKeys):
            raise ConfigError(f"keys is a {type(keys).__name__}, expected PaillierKeys or None")
        check_key_bits(key_bits if keys is None else keys.bits)
        self.adversary = adversary
        self.keys = keys
        self.key_bits = key_bits if keys is None else keys.bits
        self.helpers = frozenset(helpers)
        for helper in self.helpers:
            if keys is None or helper not in keys.holders:
                raise ConfigError(f"helper {helper!r} holds no key, and has nothing to help with")
        self.phases = FRESH if keys is None else DEALT

    def __repr__(self) -> str:
        return f"PaillierSum(key_bits={self.key_bits}, keys={self.keys!r}, helpers={sorted(self.helpers, key=str)!r})"

    @property
    def options(self) -> Mapping[str, str | int | float | None]:
        """Bits of the key, and which key it is."""
        helpers = ", ".join(sorted(map(repr, self.helpers)))
        known = None if self.keys is None else self.keys.digest.hex()
        return {"key_bits": self.key_bits, "keys": known, "helpers": helpers or None}

    def __str__(self) -> str:
        holders = "one holder" if self.keys is None else f"{self.keys.threshold} of {len(self.keys.holders)} holders"
        return f"{self.name} ({self.key_bits}-bit key, {holders}, {self.adversary})"

    def parameters(self, session: Session) -> Parameters:
        """Key, slots and roles in `session`.

        Raises ConfigError where holders or helpers do not fit its parties.
        """
        clients = frozenset(map(session.index, self.clients(session)))
        if len(clients) < LEAST_COHORT:
            raise BadCohort(f"{len(clients)} clients: expected {LEAST_COHORT} or more")
        for helper in self.helpers:
            session.index(helper)
        slots = Slots(session.dim, session.ring, self.key_bits - 1)
        if self.keys is None:
            return Parameters(session, self.key_bits, None, {}, clients, slots)
        parties = frozenset(session.parties)
        holders = {
            session.index(holder): number for number, holder in enumerate(self.keys.holders, 1) if holder in parties
        }
        if len(holders) < self.keys.threshold:
            raise ConfigError(f"{len(holders)} key holders are in this session, {self.keys.threshold} needed")
        return Parameters(session, self.key_bits, self.keys.opening, holders, clients, slots)

    def capacity(self, session: Session) -> int:
        """All that a slot holds, and a slot is as wide as an entry of the session's ring.

        Raises ConfigError where the options do not fit the session.
        """
        self.parameters(session)
        return session.encoding.capacity

    def server(self, session: Session, roster: Roster | None = None) -> Parameters:  # noqa: ARG002
        """The round as the server has it."""
        return self.parameters(session)

    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> PaillierParty:
        """One party's machine. Raises ConfigError for a holder whose share is not in `keys`."""
        me = session.parties[session.index(seat.party)]
        secret = None if self.keys is None or me not in self.keys.holders else self.keys.secret(me)
        return PaillierParty(self.parameters(session), seat, secret, saved)


def paillier(n: int, key_bits: int = 2048, adversary: str = "passive") -> PaillierSum:
    """A Paillier sum of n clients with a fresh key of a single holder. Raises BadCohort, OutOfRange or ConfigError."""
    if checked("n", n, int) < LEAST_COHORT:
        raise BadCohort(f"{n} clients: expected {LEAST_COHORT} or more")
    return PaillierSum(key_bits, adversary=adversary)

"""The interface of a protocol: a table of phases and one pure machine for each end.

A machine has no sockets, clocks, threads, logging or randomness of its own. The engine owns order, duplicates,
strangers, wrong types, deadlines, dead machines and what a machine's errors carry (no frames, which held secrets
among their local variables); a scheme owns cryptography and thresholds. A machine names parties by the ids of its
session.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import msgspec
import numpy as np

from secagg.encoding.ring import Lanes
from secagg.errors import ConfigError, PartyId, WireError
from secagg.scheme.facts import Facts
from secagg.scheme.roster import Roster
from secagg.scheme.seat import Seat
from secagg.scheme.session import Session
from secagg.scheme.slot import RoundSlot
from secagg.wire.codec import Message

SavedSum: TypeAlias = tuple[bytes, tuple[int, ...]]
"""A `Sum` as plain data: the vector's bytes, and the contributors' indices."""

_NOT_BEFORE = "its first phase cannot be answered before its session exists"


@dataclass(frozen=True)
class Phase:
    """One trip: the server asks each wanted party once, each replies at most once.

    Attributes:
        name: what errors, `lost` and traffic call it.
        ask, reply: the message types; `reply=None` is an announcement that nobody answers.
        role: of those who are asked. A client that is alive and not asked in a "client" phase is out.
        takes_input: the party's vector is consumed by this phase's answer.
    """

    name: str
    ask: type[Message]
    reply: type[Message] | None
    role: str = "client"
    takes_input: bool = False


@dataclass(frozen=True)
class Sum:
    """What a run yields.

    Attributes:
        vector: (dim,) ring entries, reduced mod 2**b.
        contributors: whose vectors are in it.
    """

    vector: Lanes
    contributors: frozenset[PartyId]

    def save(self, session: Session) -> SavedSum:
        """As plain data, parties by their index in `session`."""
        return self.vector.tobytes(), tuple(sorted(map(session.index, self.contributors)))

    @classmethod
    def load(cls, saved: SavedSum, session: Session) -> "Sum":
        """The inverse of `save`. Raises WireError for a vector of another size."""
        data, contributors = saved
        if len(data) != session.dim * session.ring.lane.itemsize:
            raise WireError(f"saved sum of {len(data)} bytes for {session.dim} entries")
        vector = np.frombuffer(data, session.ring.lane).copy()
        return cls(vector, frozenset(session.parties[i] for i in contributors))


class ServerSide(ABC):
    """The server's machine. The engine calls open, absorb*, close for each phase, in the table's order."""

    @abstractmethod
    def open(self, phase: Phase, alive: Set[PartyId]) -> Mapping[PartyId, Message]:
        """The asks of `phase`; its keys are whom the engine waits for. `alive` answered every ask so far."""

    @abstractmethod
    def absorb(self, phase: Phase, sender: PartyId, reply: Message) -> None:
        """Check one reply, then fold it in; O(dim) memory over a whole phase.

        Raises PeerMisbehaved and is then unchanged.
        """

    @abstractmethod
    def close(self, phase: Phase, answered: Set[PartyId]) -> Sum | None:
        """No reply will follow. Returns the sum if the server learns it in this phase.

        Raises TooFew, or PeerMisbehaved with the dealer of a secret that was mis-dealt.
        """

    def absorb_prepared(self, sender: PartyId, reply: Message) -> None:  # noqa: ARG002
        """`absorb`, of a reply to the first phase that `Scheme.prepare` made before the session existed.

        Comes before the first `open`. Raises PeerMisbehaved and is then unchanged.
        """
        raise ConfigError(_NOT_BEFORE)

    def accusations(self) -> Mapping[PartyId, str]:
        """{party: why} of those whom others accuse so far; they stay in the round, and the result names them."""
        return {}

    @abstractmethod
    def save(self) -> bytes:
        """All state; `Scheme.server(session, saved)` restores it. Secret as soon as the last phase is open."""


class PartySide(ABC):
    """One party's machine."""

    @abstractmethod
    def answer(self, ask: Message, vector: Lanes | None) -> tuple[Message | None, Sum | None]:
        """(reply, result that this party learns). Checks all before it reveals any; an error changes no state.

        `vector` (dim,) comes with the phase that takes input. Raises PeerMisbehaved, PolicyRefused or
        InconsistentModel.
        """

    @abstractmethod
    def save(self) -> bytes:
        """All state, secrets included; the engine encrypts it. `Scheme.party(..., saved=...)` restores it."""


class Scheme(ABC):
    """A protocol with its options.

    Attributes:
        name, version: of the protocol; both ends must run the same.
        facts: what people are told of it, if anything.
        phases: the table; an option may add a phase.
        authenticated: whether parties sign what they say, with identities on a roster.
        helpers: parties of a session that give no input: they take part in phases of other roles than "client".
        prepares: whether `prepare` works: the first phase's reply depends on nothing in the session.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    facts: ClassVar[Facts | None] = None
    phases: tuple[Phase, ...]
    authenticated: bool = False
    helpers: frozenset[PartyId] = frozenset()
    prepares: bool = False

    @property
    @abstractmethod
    def options(self) -> Mapping[str, str | int | float | None]:
        """What makes two schemes of one name different; equal at all ends of a round."""

    @property
    def identifier(self) -> str:
        """Name, version and options, such as 'plain/1/{"key":2}': JSON with sorted keys and no spaces."""
        return f"{self.name}/{self.version}/{msgspec.json.encode(self.options, order='sorted').decode()}"

    @property
    def assumptions(self) -> Mapping[str, float]:
        """What its security is computed from, by the names of `options`; a larger value assumes a worse world."""
        return {}

    def slot(
        self,
        run: bytes,
        round: int,
        party: PartyId,
        roster: Roster | None = None,
    ) -> RoundSlot:
        """What `party` prepares for, under any options of this protocol: options may depend on who comes."""
        mode = "signed" if self.authenticated else "unsigned"
        digest = roster.digest if roster is not None and self.authenticated else b""
        return RoundSlot.of(f"{self.name}/{self.version}/{mode}", digest, run, round, party)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the identifier: tells two ends, or a saved state, of different schemes apart."""
        return hashlib.sha256(self.identifier.encode()).digest()

    def clients(self, session: Session) -> frozenset[PartyId]:
        """Who gives an input: the session's parties but for the helpers."""
        return frozenset(session.parties) - self.helpers

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.options.items() if value is not None)
        return f"{self.name} ({options})" if options else self.name

    @abstractmethod
    def capacity(self, session: Session) -> int:
        """Most inputs whose sum stays exact.

        Raises ConfigError, before the first message, where the options do not fit the session.
        """

    @abstractmethod
    def server(self, session: Session, saved: bytes | None = None, *, roster: Roster | None = None) -> ServerSide:
        """The server's machine, fresh or as saved.

        `roster` is needed where the scheme is `authenticated`. Raises ConfigError without it, WireError for a
        `saved` that is none.
        """

    @abstractmethod
    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> PartySide:
        """The machine of the party in `seat`, which has a context; fresh, or as `PartySide.save` returned.

        Raises ConfigError, where the scheme is `authenticated`, for credentials that are missing or do not fit.
        """

    def prepare(self, slot: RoundSlot, seat: Seat) -> tuple[Message, bytes]:  # noqa: ARG002
        """(the first phase's reply, the state from which `party(..., saved=...)` goes on with the second phase).

        A party that goes on from such a state and is asked the first phase all the same answers it afresh, and the
        state is gone.

        Raises:
            ConfigError: this protocol cannot (`prepares`), or credentials are missing.
        """
        raise ConfigError(f"{self.name}: {_NOT_BEFORE}")

"""The interface of a protocol: a table of phases, which holds one step for each end.

A step has no sockets, clocks, threads, logging or randomness of its own. The engine owns order, duplicates, strangers,
wrong types, deadlines, dead machines and what errors carry (no frames, which held secrets among their local
variables); a scheme owns cryptography and thresholds. Here parties are named by their index in the session; ids stand
in errors alone.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, Generic, Self, TypeVar

import msgspec

from secagg.encoding.ring import Lanes
from secagg.errors import ConfigError, LocalMisuse, PartyId, PeerMisbehaved, WireError
from secagg.scheme.facts import Facts
from secagg.scheme.roster import Roster
from secagg.scheme.seat import Seat
from secagg.scheme.session import Session
from secagg.scheme.slot import RoundSlot
from secagg.wire import codec
from secagg.wire.codec import Message, State

R = TypeVar("R")
"""A round as a protocol's server has it: session, parameters, keys that all know; never changed."""
T = TypeVar("T")
_NOT_BEFORE = "its first phase cannot be answered before its session exists"


@dataclass(frozen=True)
class Sum:
    """What a round yields.

    Attributes:
        vector: (dim,) ring entries, reduced mod 2**b.
        contributors: whose vectors are in it.
    """

    vector: Lanes
    contributors: frozenset[int]


@dataclass(frozen=True)
class Present:
    """Who takes part in a saved round while one phase is open, as the engine knows it.

    Attributes:
        alive: clients that answered every ask so far.
        asked: who is asked in this phase, or has answered before; None while nobody was.
        heard: whose replies in this phase were absorbed.
    """

    alive: Set[int]
    asked: Set[int] | None
    heard: Set[int]

    def check(
        self, *, alive: Set[int] | None = None, asked: Set[int] | None = None, heard: Set[int] | None = None
    ) -> None:
        """Raise WireError where others are alive or asked than these, or not exactly these were heard."""
        if alive is not None and not self.alive <= alive:
            raise WireError("saved server of another round: clients are alive that it does not know")
        if asked is not None and self.asked is not None and not self.asked <= asked:
            raise WireError("saved server of another round: it asks whom its phase does not")
        if heard is not None and self.heard != heard:
            raise WireError("saved server of another round: it has heard others than have answered")


class ServerStage(State, Generic[R]):
    """What the server holds while one phase is open, and that phase's step there.

    Saved as it is: secret as soon as it holds what opens something. Memory: O(dim) a phase, never O(n dim).
    """

    @classmethod
    def begin(cls, round: R) -> Self:  # noqa: ARG003
        """The first phase's."""
        return cls()

    @abstractmethod
    def asks(self, round: R, alive: Set[int]) -> Mapping[int, Message]:
        """Whom the engine waits for, and what they are asked; `alive` answered every ask so far. Nobody: no trip."""

    def absorb(self, round: R, sender: int, reply: Any) -> None:
        """Check one reply, then fold it in. Raises PeerMisbehaved or WireError, and is then unchanged."""
        raise NotImplementedError  # of an announcement, which nobody answers

    def absorb_prepared(self, round: R, sender: int, reply: Any) -> None:  # noqa: ARG002
        """`absorb`, of a reply to the first phase that `Scheme.prepare` made before the session existed."""
        raise ConfigError(_NOT_BEFORE)

    @abstractmethod
    def close(self, round: R, phase: str, answered: Set[int]) -> "ServerStage[Any] | Sum | None":
        """The next phase's stage, as no reply will follow; of the last phase the sum, if the server learns it.

        Raises TooFew, or PeerMisbehaved with the dealer of a secret that was mis-dealt.
        """

    def merge(self, round: R, other: Self) -> None:
        """Fold in what another server of this round has absorbed in this phase, from senders that are not this one's.

        Raises PeerMisbehaved where two senders cannot both be right, and is then unchanged.
        """
        raise NotImplementedError

    def accusations(self, round: R) -> Mapping[int, str]:  # noqa: ARG002
        """{party: why} of those whom others accuse so far; they stay in the round, and the result names them."""
        return {}

    def settle(self, round: R) -> None:
        """Bring into the state what is kept beside it, for speed, in another form. Comes before every save."""

    def check(self, round: R, present: Present) -> None:
        """Raise WireError for a stage, read from bytes, that no server of this round saves with these parties."""


def derived(method: Callable[[Any, R], T]) -> Callable[[Any, R], T]:
    """A state's method that takes the round: computed once, kept beside the state, and not saved."""
    name = f"{method.__name__}()"  # under its own name it would hide the method

    @wraps(method)
    def once(state: Any, round: R) -> T:
        kept: dict[str, T] = state.__dict__
        if name not in kept:
            kept[name] = method(state, round)
        return kept[name]

    return once


def check_indices(parties: int, *indices: Iterable[int]) -> None:
    """Raise WireError for saved indices that are none of so many parties'."""
    if not all(0 <= i < parties for each in indices for i in each):
        raise WireError("saved state of another round: an index of no party")


@dataclass(frozen=True)
class Answer:
    """What a party's step makes of an ask.

    Attributes:
        stage: the party's next; it holds what later phases still need and nothing else, so to move on is to erase.
        reply: None to an announcement.
        result: what this party learns, in protocols where parties learn something.
    """

    stage: Message
    reply: Message | None = None
    result: Sum | None = None


Step = Callable[[Lanes], Answer]
"""What is left of a party's step when all that needs no vector is done."""


@dataclass(frozen=True)
class Phase:
    """One trip: the server asks each wanted party once, each replies at most once. And the step at each end.

    Attributes:
        name: what errors, `lost` and traffic call it.
        ask, reply: the message types; `reply=None` is an announcement that nobody answers.
        server: the server's stage while the phase is open.
        answer: the party's step: (machine, ask, stage) to an `Answer`; where the phase takes input, to a function from
            the vector to it, so that all of the ask is checked before there is an input.
        after: the stages at which a party takes the ask.
        role: of those who are asked. A client that is alive and not asked in a "client" phase is out.
        takes_input: this phase's answer consumes the party's vector.
    """

    name: str
    ask: type[Message]
    reply: type[Message] | None
    server: type[ServerStage[Any]]
    answer: Callable[..., Answer | Step]
    after: tuple[type[Message], ...]
    role: str = "client"
    takes_input: bool = False


class PartySide(ABC):
    """One party's machine; a scheme's phases name its methods.

    Attributes:
        SAVED: a message with one field, the stage; of all stage types.
        session, seat: the round, and the party with its own context.
        me: its index.
        stage: what it holds now.

    Args:
        first: the stage of a party that nobody has asked yet.
        saved: what `save` returned.
    """

    SAVED: ClassVar[type[Any]]

    def __init__(self, session: Session, seat: Seat, first: Message, saved: bytes | None) -> None:
        self.session = session
        self.seat = seat
        self.me = session.index(seat.party)
        self.stage = first if saved is None else codec.decode(saved, self.SAVED).stage
        self._read: Answer | Step | None = None

    def read(self, phase: Phase, ask: Message) -> None:
        """The phase's step as far as it goes without an input. Checks all before it reveals any, and changes no stage.

        Raises PeerMisbehaved, at another stage too, PolicyRefused, InconsistentModel or WireError.
        """
        self._read = None
        if not isinstance(self.stage, phase.after):
            raise PeerMisbehaved(f"{type(ask).__name__} after stage {type(self.stage).__name__}")
        read = phase.answer(self, ask, self.stage)
        if callable(read) and not phase.takes_input:
            raise TypeError(f"phase {phase.name!r} takes no input, and its answer waits for one")
        self._read = read

    @property
    def wants_vector(self) -> bool:
        """Whether the ask that was read last waits for one."""
        return callable(self._read)

    def answer(self, vector: Lanes | None = None) -> Answer:
        """What comes of the ask that was read last, with the vector where it wants one; the stage moves on."""
        read = self._read
        answer = read(vector) if callable(read) and vector is not None else read
        if not isinstance(answer, Answer):
            raise LocalMisuse("no ask was read, or the one that was wants a vector")
        self.stage, self._read = answer.stage, None
        return answer

    def save(self) -> bytes:
        """The stage, secrets included; the engine encrypts it."""
        state: msgspec.Struct = self.SAVED(self.stage)
        return codec.encode(state)


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

    def slot(self, run: bytes, round: int, party: PartyId, roster: Roster | None = None) -> RoundSlot:
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
    def server(self, session: Session, roster: Roster | None = None) -> Any:
        """The round as the server has it, which its stages are given.

        `roster` is needed where the scheme is `authenticated`: raises ConfigError without it, BadCohort for parties
        that are not on it.
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

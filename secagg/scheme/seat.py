"""Who a party is, what it brings to a round, and the two questions that it asks itself there."""

import hashlib
import os
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, replace

from secagg.arguments import check_kind
from secagg.errors import ConfigError, PartyId, PeerMisbehaved
from secagg.primitives.entropy import Entropy
from secagg.scheme.credentials import Credentials
from secagg.scheme.policy import USUAL, Policy
from secagg.scheme.roster import Roster
from secagg.scheme.session import Session, context_of, party_id
from secagg.scheme.store import Store

NEEDS_IDENTITIES = "adversary='active' needs the parties' identities: give a roster, and a party its credentials"


@dataclass(frozen=True)
class Seat:
    """One party's place in a round.

    May I take part in this? `check_session`, before the first answer. I am about to help to open this set: `check_set`
    before a promise, `open_set` before the reply that keeps it. Every scheme's machine asks them here.

    Attributes:
        party: its id.
        policy: its own limits, whatever the server says.
        context: digest of what it received itself (model, round, configuration); None for the session's word.
        entropy: source of all its secrets.
        credentials: its identity and the roster, where a scheme is `authenticated`.
        store: what it keeps from round to round. With one, it helps one cohort per model, under one encoding, and
            enters no round of a run twice; it needs a `context` that names model and round.
        model: digest of what updates are functions of, and of nothing beside it that a server could change in order to
            ask for the same updates again; by it the ledger tells sums apart. None for the whole context.
        terms: digest of what beside the encoding decides which vector an update becomes (which number is its weight,
            say); the ledger compares it like the encoding.
        noise: source of stochastic rounding, None for `entropy`: a simulation that runs twice may have its own.

    Raises ConfigError or BadCohort for a context, a model or an id that is none.
    """

    party: PartyId
    policy: Policy = USUAL
    context: bytes | None = None
    entropy: Entropy = os.urandom
    credentials: Credentials | None = None
    store: Store | None = None
    model: bytes | None = None
    terms: bytes = b""
    noise: Entropy | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "party", party_id(self.party))
        check_kind("policy", self.policy, Policy, "a Policy")
        check_kind("entropy", self.entropy, Callable, "a function such as os.urandom")
        check_kind("credentials", self.credentials, Credentials | None, "Credentials or None")
        check_kind("store", self.store, Store | None, "a Store, such as a Journal, or None")
        for name in ("context", "model", "terms"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, context_of(getattr(self, name), name))

    @classmethod
    def of(cls, seat: "Seat | PartyId") -> "Seat":
        """A party that is named by its id alone brings nothing but its policy's defaults."""
        return seat if isinstance(seat, Seat) else cls(seat)

    def at(self, session: Session) -> "Seat":
        """The same, with what it goes by in `session` as its context. Raises UnknownParty."""
        session.index(self.party)
        return self if self.context is not None else replace(self, context=session.context)

    @property
    def roster(self) -> Roster | None:
        """Everybody's public identity keys, as this party has them."""
        return None if self.credentials is None else self.credentials.roster

    def check_session(self, session: Session, clients: int) -> None:
        """Raise PolicyRefused or ConfigError for a session, of so many clients, that this party takes no part in."""
        if self.store is not None and not self.context:
            raise ConfigError(
                "a ledger tells rounds apart by their context: give the context that this party received itself, "
                "since the server names the session's"
            )
        if self.credentials is not None:
            self.credentials.check_cohort(session)
        self.policy.check_session(session, clients)

    def identity(self, parties: Iterable[PartyId]) -> Credentials:
        """Its credentials. Raises ConfigError or BadCohort where they are missing, another's, or lack a party."""
        if self.credentials is None:
            raise ConfigError(NEEDS_IDENTITIES)
        self.credentials.roster.check_members(parties)
        self.credentials.check_identity(self.party)
        return self.credentials

    def check_round(self, session: Session) -> None:
        """Raise PolicyRefused for a round that this party entered before.

        Keys that were prepared for a round would open both of two sessions of it.
        """
        if self.store is not None and session.run:
            with self.store.open_ledger() as ledger:
                ledger.check_round(session.run, session.round)

    def enter(self, session: Session) -> None:
        """Remember that this party answers in this session. Raises what `check_round` does."""
        if self.store is not None and session.run:
            with self.store.open_ledger() as ledger:
                ledger.enter(session.run, session.round)

    def give(self, session: Session) -> None:
        """Remember that this party's vector leaves in this session. Raises PolicyRefused for another of its model."""
        if self.store is not None and self.policy.same_parties:
            with self.store.open_ledger() as ledger:
                ledger.add(b"secagg/given/1" + self._subject, self._encoding(session), frozenset(session.parties))

    def check_set(self, session: Session, contributors: Set[PartyId], gives_input: bool) -> None:
        """Raise PeerMisbehaved or PolicyRefused for a set whose sum this party must not help to open.

        A sum without its own vector is none of its business: a server that wants it may be after the difference.
        """
        if gives_input and self.party not in contributors:
            raise PeerMisbehaved("the server asks to open a sum but leaves this party's vector out of it")
        self.policy.check_cohort(len(contributors))
        if self.store is not None:
            with self.store.open_ledger() as ledger:
                ledger.check(self._subject, self._encoding(session), contributors)

    def open_set(self, session: Session, contributors: Set[PartyId], gives_input: bool) -> None:
        """Remember that the next reply helps to open this set. Raises what `check_set` does."""
        self.check_set(session, contributors, gives_input)
        if self.store is not None:
            with self.store.open_ledger() as ledger:
                ledger.add(self._subject, self._encoding(session), contributors)

    @property
    def bound_context(self) -> bytes:
        """What this party takes a session to be about, at it: what its keys and proofs are bound to."""
        assert self.context is not None, "a seat at a session has a context"
        return self.context

    @property
    def _subject(self) -> bytes:
        """What the ledger tells sums apart by."""
        return self.bound_context if self.model is None else self.model

    def _encoding(self, session: Session) -> bytes:
        """All that decides which vector an update becomes."""
        return hashlib.sha256(b"secagg/encoded/1" + session.encoding.digest + self.terms).digest()

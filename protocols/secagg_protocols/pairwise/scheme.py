"""SecAgg and SecAgg+ as one scheme: the graph of neighbours is a parameter."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Annotated, ClassVar, Unpack

from msgspec import Meta

from secagg.arguments import checked, whole
from secagg.errors import ConfigError
from secagg.scheme import Phase, Roster, RoundSlot, Scheme, Seat, Session
from secagg.scheme.seat import NEEDS_IDENTITIES
from secagg_protocols.pairwise import derive, messages, server
from secagg_protocols.pairwise.demand import MAX_CLIENTS, Adversary, Demand, Odds, Rate, usual_loss
from secagg_protocols.pairwise.facts import FACTS
from secagg_protocols.pairwise.parameters import Parameters, check_threshold, least_threshold
from secagg_protocols.pairwise.party import PairwiseParty, prepare
from secagg_protocols.pairwise.plan import (
    Plan,
    corrupt_neighbours,
    corrupt_of_draw,
    fewest_drawn,
    majority_plan,
    plan,
    with_threshold,
)
from secagg_protocols.pairwise.round import Round
from secagg_protocols.pairwise.signed import SignedRound
from secagg_protocols.pairwise.stages import Advertised, Dealt, Fresh, Ready, Submitted

REDRAW_BITS = 64
"""Bits of security that redrawing the graph may cost an active server's clients."""
ROOM_BITS = 4
"""Bits of eta that the room for clients silent at "keys" may cost in active mode."""
ABSENT_AT_KEYS = 10
"""One in so many clients may be silent at "keys" before a derived active threshold no longer covers the graph."""


_KEYS = Phase("keys", messages.AskKeys, messages.Keys, server.Advertising, PairwiseParty.advertise, (Fresh, Ready))
_SHARES = Phase("shares", messages.AskShares, messages.Shares, server.Dealing, PairwiseParty.deal, (Ready, Advertised))
_MASKED = Phase(
    "masked", messages.AskMasked, messages.Masked, server.Masking, PairwiseParty.submit, (Dealt,), takes_input=True
)
_AGREED = Phase(
    "consistency", messages.AskConsistency, messages.Consistency, server.Agreeing, PairwiseParty.agree, (Submitted,)
)
_UNMASK = Phase("unmask", messages.AskUnmask, messages.Unmask, server.Unmasking, PairwiseParty.unmask, (Submitted,))
PASSIVE = (_KEYS, _SHARES, _MASKED, _UNMASK)
ACTIVE = (_KEYS, _SHARES, _MASKED, _AGREED, replace(_UNMASK, answer=PairwiseParty.unmask_agreed))
"""The tables of phases against a server that follows the protocol, and against one that may lie."""

_Degree = Annotated[int, Meta(ge=2, le=MAX_CLIENTS, multiple_of=2)]
_ONE_OPENS = ", since one share must not open a secret"
_NEIGHBOURS = ", the number of neighbours"


class PairwiseMasking(Scheme):
    """Pairwise masks that cancel in the sum, and Shamir shares to remove those of the lost.

    SecAgg (Bonawitz et al., CCS 2017) with `neighbours=None`: the complete graph. SecAgg+ (Bell et al.,
    CCS 2020) otherwise: a k-regular Harary graph on a random permutation.

    Args:
        neighbours: k, even and at least 2; None, or a k of n - 1 and more, is the complete graph.
        threshold: t shares open a secret. More than half of the holders, so that a server that asks two halves
            for two different secrets of one client gets neither or one. Default floor(2n/3) + 1 of n holders in
            the complete graph, floor(k/2) + 1 of k neighbours otherwise; in active mode more where corrupt clients
            could make up the difference. With `neighbours`, a lower one (such as the paper's, which `plan` gives) is
            raised to that; in the complete graph it is refused.
        adversary: "passive": the server follows the protocol and looks at all it sees. "active": it may also lie;
            parties then sign what they say (`authenticated`), agree on the contributors in a phase of its own, and
            the threshold allows for corrupt clients that answer both questions about a client: 2t > holders +
            corrupt holders.
        corrupt: rate of a session's clients that may be corrupt, which the active threshold allows for; in [0, 1).
            That of a roster tells it where all members are in the session, or cohorts are drawn
            (`corrupt_of_draw`); where the server picks the cohort, all its picks but one may be corrupt.
        sigma: bits of security of the active threshold where neighbours are few: its odds that some client has
            more corrupt neighbours are at most 2^-(sigma + 64), as a server can redraw the graph by leaving
            advertisements out. The derived threshold covers graphs over nine tenths of the parties and more; over
            fewer, where they could bring too many corrupt neighbours together, no round begins.

    Raises:
        OutOfRange, ConfigError: naming the parameter and its range.
    """

    name: ClassVar[str] = "pairwise-masking"
    facts = FACTS
    version: ClassVar[int] = 1
    prepares = True
    plan = staticmethod(plan)
    corrupt_of_draw = staticmethod(corrupt_of_draw)

    def __init__(
        self,
        neighbours: int | None = None,
        threshold: int | None = None,
        adversary: Adversary = "passive",
        corrupt: float = 0.05,
        sigma: int = 40,
    ) -> None:
        self.adversary: Adversary = checked("adversary", adversary, Adversary)
        self.authenticated = adversary == "active"
        self._corrupt: float = checked("corrupt", corrupt, Rate)
        self._sigma: int = checked("sigma", sigma, whole(1, 512))
        self.neighbours: int | None = checked("neighbours", neighbours, _Degree | None)
        complete = neighbours is None
        shares = whole(2, None, _ONE_OPENS) if complete else whole(1, self.neighbours, _NEIGHBOURS)
        self.threshold: int | None = checked("threshold", threshold, shares | None)
        self.phases = ACTIVE if self.authenticated else PASSIVE

    def __repr__(self) -> str:
        return f"PairwiseMasking({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"

    @property
    def options(self) -> Mapping[str, str | int | float | None]:
        """All that the constructor was given; rates and bits count in active mode only."""
        options = {"neighbours": self.neighbours, "threshold": self.threshold, "adversary": self.adversary}
        return options | dict(self.assumptions)

    @property
    def assumptions(self) -> Mapping[str, int | float]:
        """The rate of corrupt clients and the bits of security behind an active threshold."""
        return {"corrupt": float(self._corrupt), "sigma": self._sigma} if self.authenticated else {}

    def __str__(self) -> str:
        graph = "complete graph" if self.neighbours is None else f"{self.neighbours} neighbours"
        threshold = "derived threshold" if self.threshold is None else f"threshold {self.threshold}"
        return f"{self.name} ({graph}, {threshold}, {self.adversary})"

    def parameters(self, session: Session) -> Parameters:
        """Graph and threshold for `session`. Raises OutOfRange where the threshold does not fit its parties."""
        return self.parameters_for(len(session.parties))

    def parameters_for(self, n: int) -> Parameters:
        """The same for any session of n parties."""
        if self.neighbours is not None and self.neighbours < n - 1:
            return self._regular_parameters(n, self.neighbours)
        corrupt = ceil(self._corrupt * n) if self.authenticated else 0
        threshold = self.threshold or max(2 * n // 3, (n + corrupt) // 2) + 1
        check_threshold(threshold, n, "parties", corrupt)
        return Parameters(True, n - 1, threshold)

    def _regular_parameters(self, n: int, neighbours: int) -> Parameters:
        """A threshold below the least is raised to it: `plan` gives the paper's, which may lie there."""
        if not self.authenticated:
            return Parameters(False, neighbours, max(self.threshold or 0, least_threshold(neighbours)))
        sigma = self._sigma + REDRAW_BITS
        absent = min(n // ABSENT_AT_KEYS, n - 1 - neighbours)
        corrupt = corrupt_neighbours(n, neighbours, self._corrupt, sigma)
        likely = corrupt_neighbours(n, neighbours, self._corrupt, sigma, absent)
        derived = min(least_threshold(neighbours, likely), neighbours)
        threshold = max(self.threshold or derived, least_threshold(neighbours, corrupt))
        check_threshold(threshold, neighbours, "neighbours", corrupt)
        return Parameters(False, neighbours, threshold, fewest_drawn(n, neighbours, threshold, self._corrupt, sigma))

    def capacity(self, session: Session) -> int:
        """All that the session's ring holds. Raises OutOfRange for a threshold that does not fit its parties."""
        self.parameters(session)
        return session.encoding.capacity

    def server(self, session: Session, roster: Roster | None = None) -> Round:
        """The round as the server has it."""
        if not self.authenticated:
            return self._unsigned(session, session.context)
        if roster is None:
            raise ConfigError(NEEDS_IDENTITIES)
        roster.check_members(session.parties)
        return self._signed(session, session.context, roster)

    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> PairwiseParty:
        """One client's machine."""
        own = seat.bound_context
        if not self.authenticated:
            return PairwiseParty(self._unsigned(session, own), seat, saved)
        credentials = seat.identity(session.parties)
        return PairwiseParty(self._signed(session, own, credentials.roster, credentials.sign), seat, saved)

    def prepare(self, slot: RoundSlot, seat: Seat) -> tuple[messages.Keys, bytes]:
        """A key advertisement before its session, and the state of the client that goes on from it."""
        if self.authenticated:
            seat.identity([slot.party])
            return prepare(slot, seat)
        return prepare(slot, replace(seat, credentials=None))

    def _unsigned(self, session: Session, context: bytes) -> Round:
        bound = derive.binding(session.digest, context, self.fingerprint)
        return Round(session, self.parameters(session), bound, derive.context_digest(context))

    def _signed(
        self, session: Session, context: bytes, roster: Roster, sign: Callable[[bytes], bytes] | None = None
    ) -> SignedRound:
        bound = derive.binding(session.digest, context, self.fingerprint, roster.digest)
        digest, parameters = derive.context_digest(context), self.parameters(session)
        slot = partial(self.slot, session.run, session.round, roster=roster)
        return SignedRound(session, parameters, bound, digest, roster, slot, sign)


def secagg(
    n: int,
    threshold: int | None = None,
    adversary: Adversary = "passive",
    corrupt: float = 0.05,
    sigma: int = 40,
) -> PairwiseMasking:
    """SecAgg for n clients: the complete graph. Raises OutOfRange for a threshold that does not fit n."""
    clients: int = checked("n", n, whole(2, MAX_CLIENTS))
    scheme = PairwiseMasking(None, threshold, adversary, corrupt, sigma)
    if scheme.threshold is not None:
        check_threshold(scheme.threshold, clients, "parties")
    return scheme


def secagg_plus(
    n: int,
    neighbours: int | None = None,
    threshold: int | None = None,
    adversary: Adversary = "passive",
    **odds: Unpack[Odds],
) -> PairwiseMasking:
    """SecAgg+ for n clients: degree and threshold as `planned` finds them, unless given.

    Small cohorts, for which no smaller graph meets the odds, get the complete one.

    Args:
        n: clients in the cohort, all that a round asks.
        neighbours, threshold, adversary: as in `PairwiseMasking`. `neighbours` takes the place of the plan;
            n - 1 and more are the complete graph, and the scheme says so.
        odds: `corrupt`, `dropout`, `sigma` and `eta` of the plan (`Demand`). A round that loses more than `dropout`
            of its clients may end without a sum; where it is not stated it is `usual_loss(n)`.

    Raises:
        OutOfRange, ConfigError: naming the parameter and its range.
    """
    clients: int = checked("n", n, whole(2, MAX_CLIENTS))
    asked = Demand(max(3, clients), adversary=adversary, **Odds(**{"dropout": usual_loss(clients), **odds}))
    degree: int | None = checked("neighbours", neighbours, _Degree | None)
    if degree is not None:
        neighbours = degree if degree < clients - 1 else None
    else:
        found = planned(asked)
        if not found.complete:
            neighbours, threshold = found.neighbours, found.threshold if threshold is None else threshold
    return PairwiseMasking(neighbours, threshold, adversary, asked.corrupt, asked.sigma)


def planned(asked: Demand) -> Plan:
    """What `secagg_plus` uses: `majority_plan` against a passive server.

    Against an active one it is `plan` with 64 bits more of sigma. Its threshold is one or two above the plan's, to
    leave room for clients that are silent at "keys", which costs up to four bits of eta.
    """
    n, corrupt, dropout, sigma, eta = asked.n, asked.corrupt, asked.dropout, asked.sigma, asked.eta
    if asked.adversary == "passive":
        return majority_plan(n, corrupt, dropout, sigma, eta)
    found = plan(n, corrupt, dropout, sigma + REDRAW_BITS, eta, "active")
    if found.complete:
        return found
    scheme = PairwiseMasking(found.neighbours, None, "active", corrupt, sigma)
    return with_threshold(found, scheme.parameters_for(n).threshold)

"""SecAgg and SecAgg+ as one scheme: the graph of neighbours is a parameter."""

from typing import ClassVar, Literal

from secagg.errors import ConfigError, OutOfRange, PartyId
from secagg.scheme import Phase, Policy, Scheme, Session
from secagg.scheme.machine import Entropy
from secagg_protocols.pairwise import derive, messages
from secagg_protocols.pairwise.party import PairwiseParty
from secagg_protocols.pairwise.plan import majority_plan, plan
from secagg_protocols.pairwise.server import PairwiseServer
from secagg_protocols.pairwise.terms import Terms, check_threshold


class PairwiseMasking(Scheme):
    """Pairwise masks that cancel in the sum, and Shamir shares to remove those of the lost.

    SecAgg (Bonawitz et al., CCS 2017) with `neighbours=None`: the complete graph. SecAgg+ (Bell et al.,
    CCS 2020) otherwise: a k-regular Harary graph on a random permutation.

    Args:
        neighbours: k, even and at least 2; None, or a k of n - 1 and more, is the complete graph.
        threshold: t shares open a secret. More than half of the holders, so that a server that asks two halves
            for two different secrets of one client gets neither or one. Default floor(2n/3) + 1 of n holders in
            the complete graph, floor(k/2) + 1 of k neighbours otherwise.
        adversary: "passive": the server follows the protocol and looks at all it sees.

    Raises:
        OutOfRange, ConfigError: naming the parameter and its range.
    """

    name: ClassVar[str] = "pairwise-masking"
    version: ClassVar[int] = 1
    plan = staticmethod(plan)

    def __init__(
        self,
        neighbours: int | None = None,
        threshold: int | None = None,
        adversary: Literal["passive", "active"] = "passive",
    ) -> None:
        if adversary != "passive":
            raise ConfigError(f"adversary is {adversary!r}: this version offers 'passive'")
        for name, value in (("neighbours", neighbours), ("threshold", threshold)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise OutOfRange(f"{name} is {value!r}: expected an integer or None")
        if neighbours is not None and (neighbours < 2 or neighbours % 2):
            raise OutOfRange(f"neighbours is {neighbours}: expected an even number, 2 or more")
        if threshold is not None and threshold < 2:
            raise OutOfRange(f"threshold is {threshold}: expected 2 or more, one share must not open a secret")
        if threshold is not None and neighbours is not None:
            check_threshold(threshold, neighbours, "neighbours")
        self.neighbours = neighbours
        self.threshold = threshold
        self.adversary = adversary
        self.phases = (
            Phase("keys", messages.AskKeys, messages.Keys),
            Phase("shares", messages.AskShares, messages.Shares),
            Phase("masked", messages.AskMasked, messages.Masked, takes_input=True),
            Phase("unmask", messages.AskUnmask, messages.Unmask),
        )

    def __repr__(self) -> str:
        return (
            f"PairwiseMasking(neighbours={self.neighbours}, threshold={self.threshold}, adversary={self.adversary!r})"
        )

    @property
    def options(self) -> str:
        """Degree, threshold and adversary as one line."""
        return f"neighbours={self.neighbours} threshold={self.threshold} adversary={self.adversary}"

    def terms(self, session: Session) -> Terms:
        """Graph and threshold for `session`. Raises OutOfRange where the threshold does not fit its parties."""
        n = len(session.parties)
        if self.neighbours is not None and self.neighbours < n - 1:
            return Terms(False, self.neighbours, self.threshold or self.neighbours // 2 + 1)
        threshold = self.threshold or 2 * n // 3 + 1
        check_threshold(threshold, n, "parties")
        return Terms(True, n - 1, threshold)

    def capacity(self, session: Session) -> int:
        """All that the session's ring holds. Raises OutOfRange for a threshold that does not fit its parties."""
        self.terms(session)
        return int(2**session.ring.bits - 1) // int(2**session.bits - 1)

    def server(self, session: Session, saved: bytes | None = None) -> PairwiseServer:
        """The server's machine."""
        bound = derive.binding(session.digest, session.context, self.fingerprint)
        digest = derive.context_digest(session.context)
        return PairwiseServer(session, self.terms(session), bound, digest, saved)

    def party(
        self,
        session: Session,
        me: PartyId,
        entropy: Entropy,
        *,
        policy: Policy | None = None,
        context: bytes | None = None,
        saved: bytes | None = None,
    ) -> PairwiseParty:
        """One client's machine."""
        own = session.context if context is None else context
        bound = derive.binding(session.digest, own, self.fingerprint)
        digest = derive.context_digest(own)
        return PairwiseParty(
            session, session.index(me), self.terms(session), bound, digest, policy or Policy(), entropy, saved
        )


def secagg(
    n: int, threshold: int | None = None, adversary: Literal["passive", "active"] = "passive"
) -> PairwiseMasking:
    """SecAgg for n clients: the complete graph. Raises OutOfRange for a threshold that does not fit n."""
    if threshold is not None:
        check_threshold(threshold, n, "parties")
    return PairwiseMasking(None, threshold, adversary)


def secagg_plus(
    n: int,
    neighbours: int | None = None,
    threshold: int | None = None,
    corrupt: float = 0.05,
    dropout: float = 0.05,
    sigma: int = 40,
    eta: int = 30,
    adversary: Literal["passive", "active"] = "passive",
) -> PairwiseMasking:
    """SecAgg+ for n clients: degree and threshold as `plan` finds them, unless given.

    The passive plan is `majority_plan`, whose threshold is more than half of the neighbours. Small cohorts, for
    which no smaller graph meets the odds, get the complete one.
    """
    if neighbours is not None:
        return PairwiseMasking(neighbours, threshold, adversary)
    found = majority_plan(n, corrupt, dropout, sigma, eta)
    if found.complete:
        return PairwiseMasking(None, threshold, adversary)
    return PairwiseMasking(found.neighbours, threshold or found.threshold, adversary)

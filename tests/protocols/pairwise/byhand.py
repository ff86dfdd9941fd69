"""A server made by hand, one phase a method, that shows each client whatever a test likes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from secagg.api import Participant
from secagg.errors import PartyId, PeerMisbehaved, ProtocolError, WireError
from secagg.primitives import agreement
from secagg.scheme import Credentials, Ledger, Policy, Seat, Session, Store
from secagg.testing import SeededEntropy, asking, opened
from secagg.wire.codec import Message
from secagg.wire.packed import pack_bits
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    SEALED_SIZE,
    AskConsistency,
    AskKeys,
    AskMasked,
    AskShares,
    AskUnmask,
    Consistency,
    Keys,
    Masked,
    Shares,
    Unmask,
    pack_indices,
)
from secagg_protocols.pairwise.neighbourhoods import Neighbourhoods

N, T = 6, 4
LIAR, VICTIM, OTHER = 2, 3, 4
ALL = range(N)
SESSION = Session.create(range(N), np.zeros(5, np.uint16), context=b"round 7", entropy=SeededEntropy(1))
MEMBERS = Credentials.generate(SESSION.parties, SeededEntropy(2))
ROSTER = MEMBERS[0].roster
EARLIER = Session.create(range(N), np.zeros(5, np.uint16), context=b"round 7", entropy=SeededEntropy(7))
UPDATES: dict[PartyId, np.ndarray] = {i: np.arange(5, dtype=np.uint16) * 1000 + i for i in ALL}
COMPLETE = PairwiseMasking(threshold=T, adversary="active")
REGULAR = PairwiseMasking(neighbours=6, adversary="active")  # of 9 clients, threshold 4

Advertisement = tuple[bytes, bytes]
"""(sealing key || mask key, signature)."""


class ByHand:
    """Drives active clients through a round of `scheme`; parties are their indices.

    Attributes:
        refusals: {client: the error with which it refused an ask}.
        advertised: {client: its advertisement}.
    """

    def __init__(
        self,
        scheme: PairwiseMasking,
        session: Session,
        members: Mapping[PartyId, Credentials],
        policy: Policy | None = None,
        ledgers: Mapping[int, Ledger] | None = None,
    ) -> None:
        self.scheme, self.session = scheme, session
        self.parameters = scheme.parameters(session)
        self.clients = {
            i: Participant(
                scheme,
                session,
                Seat(
                    i,
                    policy=policy or Policy(),
                    context=session.context,
                    entropy=SeededEntropy(session.id + bytes([i])),
                    credentials=members[i],
                    store=Store(ledgers[i]) if ledgers and i in ledgers else None,
                ),
            )
            for i in range(len(session.parties))
        }
        self.refusals: dict[int, ProtocolError | WireError] = {}
        self.advertised: dict[int, Advertisement] = {}
        self._shares: dict[int, Shares] = {}
        self._seen: dict[int, dict[int, Advertisement]] = {}

    def tell(self, phase: str, i: int, message: Message) -> bytes | None:
        """Client i's reply to one ask, None where it refuses."""
        ask = asking(self.scheme, self.session, phase, self.session.parties[i], message)
        update = np.full(self.session.encoding.entries, i, np.uint16)
        try:
            return self.clients[i].answer(ask, update)
        except (ProtocolError, WireError) as refusal:
            self.refusals[i] = refusal
            return None

    def keys(self, clients: Sequence[int] | None = None) -> dict[int, Advertisement]:
        """Phase "keys", of all clients or some."""
        for i in self.clients if clients is None else clients:
            reply = self.tell("keys", i, AskKeys())
            assert reply is not None
            keys = opened(reply, Keys)
            self.advertised[i] = (keys.sealing + keys.mask, keys.signature)
        return self.advertised

    def shares(self, shown: Mapping[int, Mapping[int, Advertisement]] | None = None) -> None:
        """Phase "shares": `shown` says who is shown other advertisements than all there are."""
        for i in self.advertised:
            view = dict((shown or {}).get(i, self.advertised))
            reply = self.tell("shares", i, ask_shares(view))
            if reply is not None:
                self._seen[i] = view
                self._shares[i] = opened(reply, Shares)

    def masked(self, silent: Sequence[int] = ()) -> dict[int, bytes]:
        """Phase "masked": what was sealed for each client and can be, from all but the silent; the vectors."""
        vectors = {}
        for i in self._shares:
            neighbours = self.cohort(i).neighbours[i]
            dealers = [j for j in neighbours if j in self._shares and j not in silent]
            boxes = [self._sealed(j, i) for j in dealers]
            reply = self.tell(
                "masked",
                i,
                AskMasked(
                    derive.context_digest(self.session.context),
                    pack_indices(dealers),
                    b"".join(b for b, _ in boxes),
                    b"".join(h for _, h in boxes),
                ),
            )
            if reply is not None:
                vectors[i] = opened(reply, Masked).vector
        return vectors

    def consistency(
        self, told: Callable[[int], Sequence[int]], clients: Sequence[int] | None = None
    ) -> dict[int, bytes]:
        """Phase "consistency": `told(i)` is the set that client i is asked to sign; the signatures."""
        signatures = {}
        for i in self._shares if clients is None else clients:
            reply = self.tell("consistency", i, AskConsistency(self.bits(told(i))))
            if reply is not None:
                signatures[i] = opened(reply, Consistency).signature
        return signatures

    def unmask(self, i: int, contributors: Sequence[int], signatures: Mapping[int, bytes]) -> Unmask | None:
        """Phase "unmask", of one client."""
        signers = sorted(signatures)
        ask = AskUnmask(self.bits(contributors), pack_indices(signers), b"".join(signatures[j] for j in signers))
        reply = self.tell("unmask", i, ask)
        return None if reply is None else opened(reply, Unmask)

    def cohort(self, i: int) -> Neighbourhoods:
        """The graph that client i has drawn from what it was shown."""
        return Neighbourhoods({j: keys + signature for j, (keys, signature) in self._seen[i].items()}, self.parameters)

    def holders(self, i: int) -> list[int]:
        """Who holds shares of client i's secrets."""
        return self.cohort(i).holders[i]

    def bits(self, contributors: Sequence[int]) -> bytes:
        """A set as it is asked."""
        return pack_bits([i in contributors for i in range(len(self.session.parties))])

    def statement(self, i: int, contributors: Sequence[int], roster_digest: bytes) -> bytes:
        """What client i signs of that set."""
        ask = ask_shares(self._seen[i])
        bound = derive.binding(self.session.digest, self.session.context, self.scheme.fingerprint, roster_digest)
        view = derive.view_digest(ask.parties, ask.keys, ask.signatures)
        return derive.agreement_on(bound, view, self.bits(contributors))

    def _sealed(self, dealer: int, holder: int) -> tuple[bytes, bytes]:
        """What `dealer` sealed for `holder`, and the hashes it published of it; zeros where it dealt it nothing."""
        shares, cohort = self._shares[dealer], self.cohort(dealer)
        if holder not in cohort.neighbours[dealer]:
            return bytes(SEALED_SIZE), bytes(2 * HASH_SIZE)
        box = cohort.neighbours[dealer].index(holder)
        row = cohort.holders[dealer].index(holder)
        return (
            shares.sealed[SEALED_SIZE * box :][:SEALED_SIZE],
            shares.hashes[2 * HASH_SIZE * row :][: 2 * HASH_SIZE],
        )


def ask_shares(view: Mapping[int, Advertisement]) -> AskShares:
    """The ask of phase "shares" that shows these advertisements."""
    shown = sorted(view)
    return AskShares(pack_indices(shown), b"".join(view[i][0] for i in shown), b"".join(view[i][1] for i in shown))


def statement_of(session: Session, i: int, keys: bytes) -> bytes:
    """What party i's identity signs of its two public keys."""
    return derive.advertisement(session.digest, derive.context_digest(session.context), i, keys)


def by_hand(scheme: PairwiseMasking = COMPLETE, session: Session = SESSION, **options: object) -> ByHand:
    members = MEMBERS if session is SESSION else Credentials.generate(session.parties, SeededEntropy(3))
    return ByHand(scheme, session, members, **options)  # type: ignore[arg-type]


def regular_by_hand(n: int = 9) -> ByHand:
    return by_hand(REGULAR, Session.create(range(n), np.zeros(5, np.uint16), entropy=SeededEntropy(4)))


def fresh_keys(seed: int) -> bytes:
    """Two public keys, as an advertisement has them."""
    entropy = SeededEntropy(seed)
    return agreement.public_key(entropy(32)) + agreement.public_key(entropy(32))


def ready(hand: ByHand) -> ByHand:
    """The same round, once all vectors have been sent."""
    hand.keys()
    hand.shares()
    hand.masked()
    return hand


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def blames_the_server(error: ProtocolError | WireError, says: str) -> None:
    assert isinstance(error, PeerMisbehaved)
    assert says in str(error)
    assert error.culprits == frozenset()

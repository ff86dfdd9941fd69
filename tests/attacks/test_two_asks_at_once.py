"""Two asks of one phase that arrive at once, each in a thread of the client's own HTTP end. Without a lock both would
find the phase unanswered: from two vectors under one mask the server reads the difference of two updates (training is
not deterministic); from two signed contributor sets in active mode it has what `test_two_survivor_sets` shows to be
enough for one client's vector.

No luck is needed here: the first call is held where the masking of a long vector (which does not hold the interpreter's
lock) or a ledger on a slow disk would keep it, and let go when the second one is over.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import numpy as np
import pytest
from attacker import machine
from twins import Unguarded

from secagg import Coordinator, Credentials, Ledger, Participant, Seat, Session, Store
from secagg.encoding.packing import unpack
from secagg.errors import LocalMisuse, PeerMisbehaved
from secagg.testing import SeededEntropy, opened, rewritten
from secagg.wire.packed import pack_set
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, Consistency, Masked
from secagg_protocols.pairwise.party import PairwiseParty

SCHEME = PairwiseMasking(adversary="active")
PARTIES = range(6)
VICTIM = 2
CONTEXT = b"model 7, round 3"
CREDENTIALS = Credentials.generate(PARTIES, SeededEntropy("t1b"))
DIM = 64
PATIENCE = 20
"""Seconds after which a test that waits for a thread fails."""


class Slow:
    """Once it is armed, what the first thread to come here waits at until it is let go."""

    def __init__(self):
        self.armed, self.reached, self.free = False, Event(), Event()

    def meet(self):
        if self.armed:
            self.armed = False
            self.reached.set()
            assert self.free.wait(PATIENCE)

    def both(self, first, second):
        """What the two calls return: the second is made, and is over, while the first is held; an error if it has one.

        Raises what the first raises.
        """
        self.armed = True
        with ThreadPoolExecutor(2) as threads:
            one = threads.submit(first)
            assert self.reached.wait(PATIENCE)
            other = threads.submit(second)
            error = other.exception(PATIENCE)
            self.free.set()
            return one.result(PATIENCE), error or other.result()


class SlowLedger(Ledger):
    """A ledger on a slow disk."""

    slow = None

    def check(self, *args):
        super().check(*args)
        if self.slow is not None:
            self.slow.meet()


class Server:
    """An honest round among six, up to a phase."""

    def __init__(self):
        self.session = Session.create(PARTIES, np.zeros(DIM), context=CONTEXT)
        self.coordinator = Coordinator(SCHEME, self.session, CREDENTIALS[VICTIM].roster)
        self.ledger = SlowLedger()
        stores = {i: Store(self.ledger) if i == VICTIM else Store() for i in PARTIES}
        seats = {i: Seat(i, context=CONTEXT, credentials=CREDENTIALS[i], store=stores[i]) for i in PARTIES}
        self.clients = {i: Participant(SCHEME, self.session, seat) for i, seat in seats.items()}

    def play(self, until):
        while self.coordinator.phase != until:
            for i, ask in self.coordinator.asks().items():
                self.coordinator.receive(i, self.clients[i].answer(ask, np.zeros(DIM)))
            self.coordinator.close_phase()
        return self.coordinator.asks()[VICTIM]


@pytest.fixture
def slow():
    return Slow()


def two_vectors(slow, monkeypatch, turn=None):
    """(session, the two updates, both answers to one ask at once)."""
    server, mask = Server(), PairwiseParty._mask
    ask, victim = server.play("masked"), server.clients[VICTIM]
    victim._turn = turn or victim._turn
    draw = np.random.default_rng(1)
    updates = [draw.uniform(-1, 1, DIM) for _ in range(2)]

    def slowly(*args):
        slow.meet()
        return mask(*args)

    monkeypatch.setattr(PairwiseParty, "_mask", slowly)
    return server.session, updates, slow.both(*(partial(victim.answer, ask, update) for update in updates))


def test_two_vectors_under_one_mask_differ_by_two_updates(slow, monkeypatch):
    session, updates, replies = two_vectors(slow, monkeypatch, Unguarded("nobody"))
    ring, levels = session.ring, 2**15 - 1
    one, other = (unpack(opened(reply, Masked).vector, session.dim, ring) for reply in replies)
    steps = ring.reduce(one - other).astype(np.int64)[:DIM]
    steps = np.where(steps < 2 ** (ring.bits - 1), steps, steps - 2**ring.bits)
    assert np.abs(steps / levels - (updates[0] - updates[1])).max() <= 1 / levels + 1e-12


def test_of_two_asks_at_once_one_vector_leaves(slow, monkeypatch):
    _, _, (reply, error) = two_vectors(slow, monkeypatch)
    assert opened(reply, Masked).vector
    assert isinstance(error, LocalMisuse)
    assert "in another thread" in str(error)


def two_signatures(slow, turn=None):
    """(the victim, both asks, both answers at once)."""
    server = Server()
    ask, victim = server.play("consistency"), server.clients[VICTIM]
    victim._turn = turn or victim._turn
    fewer = rewritten(ask, AskConsistency, contributors=pack_set(set(PARTIES) - {5}, len(PARTIES)))
    server.ledger.slow = slow
    return victim, (ask, fewer), slow.both(partial(victim.answer, ask), partial(victim.answer, fewer))


def test_two_contributor_sets_are_signed_in_one_session(slow):
    victim, asks, replies = two_signatures(slow, Unguarded("nobody"))
    signatures = [opened(reply, Consistency).signature for reply in replies]
    party = machine(victim)
    for ask, signature in zip(asks, signatures, strict=True):
        statement = party.round.agreement(party.stage.view, opened(ask, AskConsistency).contributors)
        CREDENTIALS[VICTIM].roster.verify(VICTIM, statement, signature)  # raises for any other statement
    assert signatures[0] != signatures[1]


def test_of_two_sets_at_once_one_is_signed(slow):
    victim, (ask, fewer), (reply, error) = two_signatures(slow)
    assert isinstance(error, LocalMisuse)
    assert machine(victim).stage.agreed == opened(ask, AskConsistency).contributors
    assert victim.answer(ask) == reply
    assert victim.left is None  # the caller's two threads are no fault of the server's; the set, asked again, is
    with pytest.raises(PeerMisbehaved, match="a second, different ask"):
        victim.answer(fewer)

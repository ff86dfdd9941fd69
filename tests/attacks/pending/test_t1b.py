"""Two asks of one phase that arrive at once, each in a thread of the client's own HTTP end, get two answers:
`Participant.answer` takes no lock, so both find the phase unanswered. From two vectors under one mask the server reads
the difference of two updates (training is not deterministic); from two signed contributor sets in active mode it has
what `test_two_survivor_sets` shows to be enough for one client's vector.

No luck is needed here: both threads wait for each other where the masking of a long vector (which does not hold the
interpreter's lock) or a ledger on a slow disk would keep them.

Closed when: of two asks at once one is answered, and the other gets the same bytes or a refusal.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import numpy as np
from attacker import machine

from secagg import Coordinator, Credentials, Ledger, Participant, Seat, Session, Store
from secagg.encoding.packing import unpack
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
"""Seconds; whoever waits so long waits for a thread that a lock keeps out."""


class Slow(Ledger):
    """Once it is given a barrier, a ledger on a slow disk."""

    meeting = None

    def check(self, *args):
        super().check(*args)
        if self.meeting is not None:
            self.meeting.wait(PATIENCE)


class Server:
    """An honest round among six, up to a phase."""

    def __init__(self):
        self.session = Session.create(PARTIES, np.zeros(DIM), context=CONTEXT)
        self.coordinator = Coordinator(SCHEME, self.session, CREDENTIALS[VICTIM].roster)
        self.ledger = Slow()
        stores = {i: Store(self.ledger) if i == VICTIM else Store() for i in PARTIES}
        seats = {i: Seat(i, context=CONTEXT, credentials=CREDENTIALS[i], store=stores[i]) for i in PARTIES}
        self.clients = {i: Participant(SCHEME, self.session, seat) for i, seat in seats.items()}

    def play(self, until):
        while self.coordinator.phase != until:
            for i, ask in self.coordinator.asks().items():
                self.coordinator.receive(i, self.clients[i].answer(ask, np.zeros(DIM)))
            self.coordinator.close_phase()
        return self.coordinator.asks()[VICTIM]


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as threads:
        return [each.result() for each in [threads.submit(call) for call in calls]]


def test_two_vectors_under_one_mask_differ_by_two_updates(monkeypatch):
    server, both, mask = Server(), Barrier(2), PairwiseParty._mask
    ask, victim = server.play("masked"), server.clients[VICTIM]
    draw = np.random.default_rng(1)
    updates = [draw.uniform(-1, 1, DIM) for _ in range(2)]

    def slow(*args):
        both.wait(PATIENCE)
        return mask(*args)

    monkeypatch.setattr(PairwiseParty, "_mask", slow)
    replies = at_once(*(partial(victim.answer, ask, update) for update in updates))
    ring, levels = server.session.ring, 2**15 - 1
    one, other = (unpack(opened(reply, Masked).vector, server.session.dim, ring) for reply in replies)
    steps = ring.reduce(one - other).astype(np.int64)[:DIM]
    steps = np.where(steps < 2 ** (ring.bits - 1), steps, steps - 2**ring.bits)
    assert np.abs(steps / levels - (updates[0] - updates[1])).max() <= 1 / levels + 1e-12


def test_two_contributor_sets_are_signed_in_one_session():
    server = Server()
    ask, victim = server.play("consistency"), server.clients[VICTIM]
    fewer = rewritten(ask, AskConsistency, contributors=pack_set(set(PARTIES) - {5}, len(PARTIES)))
    server.ledger.meeting = Barrier(2)
    replies = at_once(partial(victim.answer, ask), partial(victim.answer, fewer))
    signatures = [opened(reply, Consistency).signature for reply in replies]
    party = machine(victim)
    for ask_sent, signature in zip((ask, fewer), signatures, strict=True):
        contributors = opened(ask_sent, AskConsistency).contributors
        statement = party.round.agreement(party.stage.view, contributors)
        CREDENTIALS[VICTIM].roster.verify(VICTIM, statement, signature)  # raises for any other statement
    assert signatures[0] != signatures[1]

"""A lying server sends a client of an active round one malformed ask after another and hears each refusal. Were they
not final, the client would answer the honest ask all the same (docs/threat-model.md, "Key lifetimes"); and were it to
train before it looks at what is asked, the server would have its processors for the price of a message.
"""

import numpy as np
import pytest
from twins import GoesOn, TrainsFirst

from secagg import Coordinator, Credentials, Participant, Seat, Session
from secagg.errors import LocalMisuse, PeerMisbehaved, WireError
from secagg.testing import SeededEntropy, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskMasked, AskUnmask

SCHEME = PairwiseMasking(adversary="active")
PARTIES = range(5)
TRIED = 0
TIMES = 5
UPDATE = np.linspace(-1, 1, 8)
MALFORMED = {"masked": (AskMasked, {"hashes": b""}), "unmask": (AskUnmask, {"signers": b"\0"})}


class Tries:
    """A server that sends `TRIED` malformed asks before the honest one.

    Attributes:
        trained: how often that client has trained for them.
        refusals: the phases of those that it refused.
    """

    def __init__(self, kind, phases):
        self.kind, self.phases = kind, phases
        self.trained, self.refusals = 0, []

    def training(self):
        self.trained += 1
        return UPDATE

    def run(self):
        """The round's result, `TRIED` in it if it answers the honest asks too."""
        credentials = Credentials.generate(PARTIES, SeededEntropy("c2"))
        session = Session.create(PARTIES, UPDATE)
        server = Coordinator(SCHEME, session, credentials[TRIED].roster)
        clients = {i: Participant(SCHEME, session, Seat(i, credentials=credentials[i])) for i in PARTIES}
        clients[TRIED].__class__ = self.kind
        while not server.done:
            for i, ask in server.asks().items():
                if i == TRIED and server.phase in self.phases:
                    self.tries(server.phase, clients[i], ask)
                server.receive(i, clients[i].answer(ask, UPDATE))
            server.close_phase()
        return server.result

    def tries(self, phase, client, ask):
        kind, change = MALFORMED[phase]
        for _ in range(TIMES):
            with pytest.raises((WireError, LocalMisuse)) as caught:
                client.answer(rewritten(ask, kind, **change), self.training)
            if isinstance(caught.value, WireError):
                self.refusals.append(phase)


def test_a_client_that_goes_on_refuses_ten_times_and_answers():
    server = Tries(GoesOn, MALFORMED)
    assert TRIED in server.run().contributors
    assert server.refusals == ["masked"] * TIMES + ["unmask"] * TIMES
    assert server.trained == 0  # of no ask that the machine refuses


def test_a_client_that_trains_before_it_looks_does_so_for_each():
    server = Tries(TrainsFirst, ["masked"])
    assert TRIED in server.run().contributors
    assert server.trained == TIMES


@pytest.mark.parametrize("phase", MALFORMED)
def test_the_first_refusal_is_the_last_word(phase):
    server = Tries(Participant, [phase])
    with pytest.raises(LocalMisuse, match="left the round"):
        server.run()
    assert server.refusals == [phase]
    assert server.trained == 0


def test_a_set_that_it_did_not_sign_is_refused_for_good():
    """However malformed: the set is compared with the one that the client has signed before it is read."""

    class Names(Tries):
        def tries(self, phase, client, ask):
            with pytest.raises(PeerMisbehaved, match="another set than this party signed"):
                client.answer(rewritten(ask, AskUnmask, contributors=b"\xff\xff\xff"))
            self.refusals.append(phase)

    server = Names(Participant, ["unmask"])
    with pytest.raises(LocalMisuse, match="left the round"):
        server.run()
    assert server.refusals == ["unmask"]

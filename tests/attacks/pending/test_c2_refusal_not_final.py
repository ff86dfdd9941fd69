"""A lying server sends a client of an active round one malformed ask after another and hears each refusal; the client
stays in the round and answers the honest ask all the same. A refusal should be the last thing that a party says
(docs/threat-model.md, "Key lifetimes"). And each malformed ask of "masked" makes the client train once more, before
anybody has looked at what it says: the server has the client's processors for the price of a message.

Closed when: after one refused ask the honest one meets `LocalMisuse`, and a malformed ask trains zero times.
"""

import numpy as np
import pytest

from secagg import Coordinator, Credentials, Participant, Seat, Session
from secagg.errors import LocalMisuse, PeerMisbehaved, WireError
from secagg.testing import SeededEntropy, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskMasked, AskUnmask

SCHEME = PairwiseMasking(adversary="active")
PARTIES = range(5)
TRIED = 0
TIMES = 5
MALFORMED = {"masked": (AskMasked, {"hashes": b""}), "unmask": (AskUnmask, {"signers": b"\0"})}


def played(tried):
    """A round in which the server first sends `TRIED` what `tried(phase, client, ask)` does; the result at its end."""
    credentials = Credentials.generate(PARTIES, SeededEntropy("c2"))
    update = np.linspace(-1, 1, 8)
    session = Session.create(PARTIES, update)
    server = Coordinator(SCHEME, session, credentials[TRIED].roster)
    clients = {i: Participant(SCHEME, session, Seat(i, credentials=credentials[i])) for i in PARTIES}
    while not server.done:
        for i, ask in server.asks().items():
            if i == TRIED:
                tried(server.phase, clients[i], ask)
            server.receive(i, clients[i].answer(ask, update))
        server.close_phase()
    return server.result


def test_a_client_that_has_refused_five_times_in_each_phase_answers_the_sixth_ask():
    refusals, trained = [], []

    def training():
        trained.append(TRIED)
        return np.zeros(8)

    def tried(phase, client, ask):
        for _ in range(TIMES if phase in MALFORMED else 0):
            kind, change = MALFORMED[phase]
            with pytest.raises(WireError):
                client.answer(rewritten(ask, kind, **change), training)
            refusals.append(phase)

    result = played(tried)
    assert refusals == ["masked"] * TIMES + ["unmask"] * TIMES
    assert len(trained) == TIMES  # for nothing: the round's own update is another
    assert TRIED in result.contributors
    assert result.lost == {}


def test_closed_by_the_house_a_set_that_it_did_not_sign_is_refused_for_good():
    """However malformed: the set is compared with the one that the client has signed before it is read."""
    refusals = []

    def tried(phase, client, ask):
        if phase == "unmask":
            with pytest.raises(PeerMisbehaved, match="another set than this party signed"):
                client.answer(rewritten(ask, AskUnmask, contributors=b"\xff\xff\xff"))
            with pytest.raises(LocalMisuse, match="left the round"):
                client.answer(ask)
            refusals.append(phase)

    with pytest.raises(LocalMisuse, match="left the round"):
        played(tried)
    assert refusals == ["unmask"]

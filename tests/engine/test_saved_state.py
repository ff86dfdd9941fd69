"""State that opens under its seal, and is no state of this round all the same, is refused with a StateError."""

import numpy as np
import pytest
from plainsum import PlainSum

from secagg import Coordinator, Participant, Session
from secagg.engine import party as party_end
from secagg.engine.progress import Saved
from secagg.errors import PeerMisbehaved, StateError
from secagg.scheme import Policy, Seat
from secagg.testing import TestRound, small_keys
from secagg.wire import codec
from secagg_protocols import PaillierKeys, PaillierSum, PairwiseMasking

BITS = 256
PARTIES = ["a", 1, "c", 3]
UPDATES = {party: np.arange(5, dtype=np.uint16) + 1000 * i for i, party in enumerate(PARTIES)}
SCHEME = PairwiseMasking(threshold=3)
with small_keys(BITS):
    DEALT = PaillierSum(keys=PaillierKeys.generate(PARTIES, 3, BITS))


@pytest.fixture(autouse=True)
def keys_are_small():
    with small_keys(BITS):
        yield


def new_round(scheme=SCHEME):
    return TestRound(scheme, Session.create(PARTIES, UPDATES["a"]), UPDATES)


def at(phase):
    """A round with `phase` open; None is after the last."""
    round_ = new_round()
    while round_.coordinator.phase != phase:
        round_.step()
    return round_


def altered(coordinator, change):
    """Its state once `change` was made to it."""
    saved = codec.load(coordinator.state(), Saved)
    change(saved)
    return codec.encode(saved)


def put(place, name, value):
    """A change of saved state: the field `name` of what `place` finds in it."""
    return lambda saved: setattr(place(saved), name, value)


def engine(saved):
    return saved.round


def whole(saved):
    return saved


def tally(saved):
    return saved.round.tallies[1]


NOBODYS = {"above": 4, "below": -1}
OF_A_ROUND = {
    f"{name} {which}": put(place, name, kind([index]))
    for which, index in NOBODYS.items()
    for place, name, kind in (
        (engine, "alive", set),
        (engine, "rejected", set),
        (engine, "contributors", set),
        (engine, "replies", lambda indices: dict.fromkeys(indices, bytes(16))),
        (engine, "lost", lambda indices: dict.fromkeys(indices, "keys")),
        (engine, "misbehaved", lambda indices: dict.fromkeys(indices, "why")),
        (engine, "accused", lambda indices: dict.fromkeys(indices, "why")),
        (tally, "received", lambda indices: dict.fromkeys(indices, 7)),
        (lambda saved: saved.round.asks, "of", lambda indices: dict.fromkeys(indices, 0)),
    )
} | {
    "a client that has answered and is not alive": lambda saved: saved.round.alive.remove(1),
    "a reply that is forgotten": lambda saved: saved.round.replies.pop(1),
    "a reply that was rejected too": put(engine, "rejected", {1}),
    "replies without their asks": lambda saved: saved.round.asks.of.pop(1) and saved.round.alive.clear(),
    "more bytes than there are": put(tally, "received", {1: 2**63}),
    "less than no bytes": put(tally, "sent", -1),
    "a phase below": put(engine, "phase", -1),
    "a phase above": put(engine, "phase", 5),
    "after the last phase, with a stage": put(engine, "phase", 4),
    "another phase's stage": put(engine, "phase", 2),
    "a tally too few": lambda saved: saved.round.tallies.pop(),
    "an ask that is not there": lambda saved: saved.round.asks.of.update({0: 4}),
    "an ask below": lambda saved: saved.round.asks.of.update({0: -1}),
    "no stage": put(whole, "stage", None),
    "an empty stage": put(whole, "stage", b""),
    "a stage that is cut": lambda saved: setattr(saved, "stage", saved.stage[:-1]),
    "a sum of another size": put(engine, "vector", bytes(7)),
    "another scheme": put(whole, "fingerprint", bytes(32)),
    "no session": put(whole, "session", b""),
}


def test_state_that_nobody_changed_is_taken():
    for phase in ("keys", "shares", "masked", "unmask", None):
        coordinator = at(phase).coordinator
        coordinator.asks()
        assert Coordinator.of_state(SCHEME, altered(coordinator, lambda saved: None)).phase == phase


@pytest.mark.parametrize("name", OF_A_ROUND)
def test_no_state_of_this_round(name):
    round_ = at("shares")
    round_.exchange()
    with pytest.raises(StateError):
        pytest.fail(f"restored: {Coordinator.of_state(SCHEME, altered(round_.coordinator, OF_A_ROUND[name]))}")


@pytest.mark.parametrize(
    "change",
    [put(engine, "vector", bytes(12)), put(engine, "phase", 3), put(whole, "stage", b"\x90")],
    ids=["a sum of another size", "an open phase without its stage", "a stage without its phase"],
)
def test_no_state_of_a_round_that_is_over(change):
    done = at(None).coordinator
    with pytest.raises(StateError):
        pytest.fail(f"restored: {Coordinator.of_state(SCHEME, altered(done, change))}")


# A party's.


def refused(participant):
    """One that has left the round, with a reason."""
    with pytest.raises(PeerMisbehaved, match="the server asks"):
        participant._refuse(PeerMisbehaved("the server asks"), None)
    return participant


def changed(participant, change):
    saved = codec.load(participant.state(), party_end._Saved)
    change(saved)
    return codec.encode(saved)


OF_A_PARTY = {
    "a party above": put(whole, "me", 4),
    "a party below": put(whole, "me", -1),
    "another party": put(whole, "me", 1),
    "contributors above": put(engine, "contributors", {4}),
    "contributors below": put(engine, "contributors", {-1}),
    "a policy that is none": put(whole, "policy", (1, 1, 1)),
    "a policy of more parties": put(whole, "policy", (5, 2**28, 2)),
    "a policy of shorter vectors": put(whole, "policy", (3, 4, 2)),
    "another scheme": put(whole, "fingerprint", bytes(32)),
    "no session": put(whole, "session", b""),
    "another context": put(whole, "context", b"another"),
    "a store": put(whole, "keeps", True),
    "a sum of another size": put(engine, "vector", bytes(7)),
    "an answer to a phase above": put(engine, "answered", dict.fromkeys(range(5), bytes(16))),
    "an answer to a phase below": put(engine, "answered", dict.fromkeys((-1, 0, 1), bytes(16))),
    "in the round without secrets": put(whole, "machine", None),
    "out of the round with secrets": put(engine, "failure", "the server asks"),
    "no machine": put(whole, "machine", b""),
    "a machine that is cut": lambda saved: setattr(saved, "machine", saved.machine[:-1]),
}


@pytest.mark.parametrize("name", OF_A_PARTY)
def test_no_state_of_this_party(name):
    participant, seat = at("unmask").participants["a"], Seat("a", context=b"")
    assert Participant.of_state(SCHEME, changed(participant, lambda saved: None), seat).step == 3
    with pytest.raises(StateError):
        pytest.fail(f"restored: {Participant.of_state(SCHEME, changed(participant, OF_A_PARTY[name]), seat)}")


@pytest.mark.parametrize("scheme", [SCHEME, DEALT], ids=["pairwise", "paillier"])
def test_state_under_a_threshold_that_the_seat_no_longer_allows(scheme):
    """The policy was raised since; it is the state that does not fit, so the party sits the round out."""
    participant = Participant(scheme, Session.create(PARTIES, UPDATES["a"]), "a")
    strict = Seat("a", policy=Policy(min_threshold=4))
    with pytest.raises(StateError, match="3 shares open a secret"):
        Participant.of_state(scheme, participant.state(), strict)


def test_a_party_that_has_left_brings_no_secrets_back():
    round_ = at("unmask")
    secrets = round_.participants["a"]._machine.save()
    left = refused(round_.participants["a"])
    assert Participant.of_state(SCHEME, left.state(), Seat("a"))._machine is None
    with pytest.raises(StateError, match="has left the round and holds secrets"):
        Participant.of_state(SCHEME, changed(left, put(whole, "machine", secrets)), Seat("a"))


def test_what_a_party_has_learnt_is_checked_too():
    round_ = new_round(PlainSum())
    round_.run()
    heard = round_.participants["a"]
    for name, value in (("vector", heard.result.vector.tobytes()[:-1]), ("contributors", {0, 4})):
        with pytest.raises(StateError):
            Participant.of_state(PlainSum(), changed(heard, put(engine, name, value)), Seat("a", policy=Policy()))

"""A first phase that is answered before its session exists: who is asked, what fits, and that it serves once."""

import copy
import os
import pickle

import numpy as np
import pytest

import secagg
from secagg import Coordinator, Participant, Prepared, Session
from secagg.engine import prepared as ahead
from secagg.errors import BadCohort, ConfigError, LocalMisuse, OutOfRange, PeerMisbehaved, StateError
from secagg.primitives import signing
from secagg.scheme import Credentials, Roster, Seat
from secagg.testing import SeededEntropy, TestRound, asking, rewritten
from secagg.wire import codec, frame
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskKeys, AskMasked, Keys

PARTIES = ["a", "b", 2, 3, "e"]
UPDATES = {party: np.arange(4, dtype=np.uint16) + i for i, party in enumerate(PARTIES)}
RUN = b"one training run"
NAMES = {"run": RUN, "round": 9}
PASSIVE, ACTIVE = PairwiseMasking(), PairwiseMasking(adversary="active")
MEMBERS = Credentials.generate(PARTIES, SeededEntropy(1))
ROSTER = MEMBERS["a"].roster
KEY = bytes(range(32))
both = pytest.mark.parametrize("scheme", [PASSIVE, ACTIVE], ids=["passive", "active"])


def made(scheme, party, credentials=MEMBERS, entropy=os.urandom, **changes):
    if credentials is MEMBERS:
        credentials = MEMBERS[party] if scheme.authenticated else None
    return secagg.prepare(scheme, Seat(party, credentials=credentials, entropy=entropy), **(NAMES | changes))


def session(**changes):
    return Session.create(PARTIES, UPDATES["a"], **(NAMES | changes))


def coordinator(scheme, prepared, **changes):
    return Coordinator(scheme, session(**changes), ROSTER if scheme.authenticated else None, prepared)


def exact(out):
    np.testing.assert_array_equal(out.sum, sum(UPDATES[party].astype(np.uint64) for party in out.contributors))
    return out


@both
def test_where_all_came_prepared_nobody_is_asked_for_keys(scheme):
    round_ = TestRound(scheme, session(), UPDATES, prepared=PARTIES)
    server = round_.coordinator
    assert set(server.asks()) == set(PARTIES)
    assert (server.phase, server.waiting, server.lost) == ("shares", set(PARTIES), {})
    out = exact(round_.run())
    assert out.contributors == set(PARTIES)
    assert out.traffic["keys", "server"] == 0
    assert out.traffic["keys", "client"] == len(round_.sent["keys", "a"])
    assert {phase for phase, _ in round_.sent} == {phase.name for phase in scheme.phases}


@both
def test_the_others_are_asked_and_nobody_waits_for_those_who_came_prepared(scheme):
    round_ = TestRound(scheme, session(), UPDATES, prepared=["a", 3])
    assert set(round_.coordinator.asks()) == round_.coordinator.waiting == {"b", 2, "e"}
    out = exact(round_.run())
    assert out.contributors == set(PARTIES)


@both
def test_too_few_with_keys_ends_the_round_as_ever(scheme):
    server = coordinator(scheme, {"a": made(scheme, "a").message})
    with pytest.raises(secagg.TooFew, match="phase 'keys': 1 parties answered"):
        server.close_phase()
    assert set(server.lost) == set(PARTIES) - {"a"}


@both
def test_where_all_came_prepared_and_too_few_of_them_will_do_the_round_ends_before_the_first_ask(scheme):
    bad = dict.fromkeys(PARTIES[1:], b"garbage")
    server = coordinator(scheme, {"a": made(scheme, "a").message} | bad)
    with pytest.raises(secagg.TooFew, match="phase 'keys': 1 parties answered"):
        server.asks()
    for call in (server.asks, server.close_phase):
        with pytest.raises(LocalMisuse, match="this round has ended"):
            call()
    assert server.lost == dict.fromkeys(bad, "keys")


@both
def test_a_second_answer_of_one_that_came_prepared_changes_nothing(scheme):
    server = coordinator(scheme, {"a": made(scheme, "a").message})
    fresh = Participant(scheme, server.session, Seat("a", credentials=MEMBERS["a"]))
    ask = asking(scheme, server.session, "keys", "a", AskKeys())
    server.receive("a", fresh.answer(ask))
    assert (server.misbehaved, server.lost, server.waiting) == ({}, {}, set(PARTIES) - {"a"})


@both
@pytest.mark.parametrize(
    "changes", [{"round": 8}, {"round": 10}, {"run": b"another training"}], ids=["old", "new", "run"]
)
def test_what_was_prepared_for_another_round_is_left_aside_and_its_party_asked(scheme, changes):
    server = coordinator(scheme, {party: made(scheme, party, **changes).message for party in PARTIES})
    assert server.waiting == set(PARTIES)
    assert not server.misbehaved
    assert not server.lost


def test_what_was_prepared_for_another_mode_roster_or_protocol_is_left_aside():
    other = Credentials.generate([*PARTIES, "f"], SeededEntropy(1))
    prepared = {
        "a": made(PASSIVE, "a").message,
        "b": made(ACTIVE, "b", credentials=other["b"]).message,
        2: made(type("Newer", (PairwiseMasking,), {"version": 2})(adversary="active"), 2).message,
    }
    server = coordinator(ACTIVE, prepared)
    assert server.waiting == set(PARTIES)
    assert not server.misbehaved


def test_options_may_change_between_preparing_and_the_round():
    """Who comes is not known yet, and so neither are neighbours and thresholds."""
    prepared = {party: made(PairwiseMasking(neighbours=4), party) for party in PARTIES}
    scheme = PairwiseMasking(threshold=4)
    server = Coordinator(scheme, session(), prepared={party: each.message for party, each in prepared.items()})
    clients = {party: Participant(scheme, server.session, party, prepared=each) for party, each in prepared.items()}
    while not server.done:
        for party, ask in server.asks().items():
            server.receive(party, clients[party].answer(ask, UPDATES[party]))
        server.close_phase()
    assert exact(server.result).contributors == set(PARTIES)


def test_parties_of_other_sessions_are_left_aside():
    stranger = secagg.prepare(PASSIVE, "z", **NAMES)
    server = coordinator(PASSIVE, {"z": stranger.message, "a": made(PASSIVE, "a").message})
    assert server.waiting == set(PARTIES) - {"a"}


def reply(message, **changes):
    """The advertisement with other keys or signature, and right checksums."""
    inner = codec.decode(frame.unwrap(message).body, ahead.Sent)
    keys = codec.decode(inner.reply, Keys)
    body = codec.encode(Keys(**{name: changes.get(name, getattr(keys, name)) for name in keys.__struct_fields__}))
    return rewritten(message, ahead.Sent, reply=body)


def header(message, **changes):
    old = frame.unwrap(message)
    fields = {name: getattr(old, name) for name in ("direction", "phase", "party", "tag", "answers", "body")}
    return frame.wrap(**(fields | changes))


BAD = {
    "garbage": (lambda message: b"garbage", "shorter than its header"),
    "no bytes": (lambda message: None, "expected bytes"),
    "damaged": (lambda message: message[:-1] + b"x", "wrong checksum"),
    "a reply": (lambda message: header(message, direction=1), "expected what was prepared"),
    "an ask": (lambda message: header(message, direction=0), "expected what was prepared"),
    "a phase": (lambda message: header(message, phase=1), "header names a session"),
    "a party": (lambda message: header(message, party=1), "header names a session"),
    "a tag": (lambda message: header(message, tag=b"t" * 16), "header names a session"),
    "an answer": (lambda message: header(message, answers=b"t" * 16), "header names a session"),
    "longer": (lambda message: header(message, body=message[60:] + b"\0"), "not a Sent"),
    "no keys": (lambda message: rewritten(message, ahead.Sent, reply=b"\x91\x01"), "not a Keys"),
    "a short key": (lambda message: reply(message, mask=bytes(31)), "public key of 31 bytes"),
    "low order": (lambda message: reply(message, mask=bytes(32)), "low order"),
    "a context": (lambda message: reply(message, context=bytes(32)), "context of 32 bytes"),
    "one key twice": (lambda message: reply(message, mask=b"k" * 32, sealing=b"k" * 32), "advertised before"),
}


@both
@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_costs_its_sender_and_nobody_asks_again(scheme, name):
    damage, why = BAD[name]
    prepared = {party: made(scheme, party).message for party in PARTIES}
    prepared["b"] = damage(prepared["b"])
    if scheme.authenticated and name == "one key twice":  # signed by whoever made it
        keys = b"k" * 64
        prepared["b"] = reply(prepared["b"], signature=signed("b", keys))
    server = coordinator(scheme, prepared)
    assert set(server.misbehaved) == {"b"}
    assert server.misbehaved["b"].startswith("phase 'keys', prepared: ")
    assert why in server.misbehaved["b"]
    assert (server.lost, server.phase, server.waiting) == ({"b": "keys"}, "shares", set(PARTIES) - {"b"})
    server.receive("b", made(scheme, "b").message)
    assert server.lost == {"b": "keys"}
    assert "b" not in server.asks()


def signed(party, keys):
    slot = ACTIVE.slot(RUN, 9, party, ROSTER)
    statement = b"secagg/pairwise/1/prepared advertisement" + slot.digest + keys
    return signing.sign(MEMBERS[party].identity, statement)


@both
def test_another_s_message_costs_who_sends_it(scheme):
    server = coordinator(scheme, {"a": made(scheme, "a").message, "b": made(scheme, "a").message})
    assert set(server.misbehaved) == {"b"}
    assert "prepared by party 'a'" in server.misbehaved["b"]
    assert "a" not in server.waiting


def test_another_s_keys_under_one_s_own_name_cost_who_sends_them():
    first, slot = made(PASSIVE, "a").message, PASSIVE.slot(RUN, 9, "b")
    copied = rewritten(first, ahead.Sent, slot=slot)
    server = coordinator(PASSIVE, {"a": first, "b": copied})
    assert set(server.misbehaved) == {"b"}
    assert "advertised before" in server.misbehaved["b"]


def test_a_signature_of_anything_else_costs_its_sender():
    fresh = coordinator(ACTIVE, {})
    ask = fresh.asks()["a"]
    keys = codec.decode(
        frame.unwrap(Participant(ACTIVE, fresh.session, Seat("a", credentials=MEMBERS["a"])).answer(ask)).body, Keys
    )
    lies = [
        reply(made(ACTIVE, "a").message, signature=b""),
        reply(made(ACTIVE, "a").message, mask=b"m" * 32),
        reply(made(ACTIVE, "a").message, sealing=keys.sealing, mask=keys.mask, signature=keys.signature),
        rewritten(made(ACTIVE, "a", round=8).message, ahead.Sent, slot=ACTIVE.slot(RUN, 9, "a", ROSTER)),
    ]
    for lie in lies:
        server = coordinator(ACTIVE, {"a": lie})
        assert "signature does not verify" in server.misbehaved["a"]
    server = coordinator(PASSIVE, {"a": reply(made(PASSIVE, "a").message, signature=bytes(64))})
    assert "signature of 64 bytes" in server.misbehaved["a"]


@both
def test_the_coordinator_is_itself_again_wherever_it_was_saved(scheme):
    prepared = {party: made(scheme, party) for party in PARTIES[:4]}
    messages = {party: each.message for party, each in prepared.items()} | {"e": b"garbage"}
    server = coordinator(scheme, messages)
    roster = ROSTER if scheme.authenticated else None
    again = Coordinator.restore(scheme, server.save(KEY), KEY, roster)
    for _ in range(2):  # before and after the asks of "shares" are made
        assert set(again.asks()) == again.waiting == set(PARTIES[:4])
        assert (again.phase, again.lost, again.misbehaved) == ("shares", {"e": "keys"}, server.misbehaved)
        again = Coordinator.restore(scheme, again.save(KEY), KEY, roster)
    for party, ask in again.asks().items():
        client = Participant(scheme, again.session, Seat(party, credentials=MEMBERS[party]), prepared=prepared[party])
        client = Participant.restore(scheme, client.save(KEY), KEY, Seat(party, credentials=MEMBERS[party]))
        again.receive(party, client.answer(ask))
    assert not again.waiting
    assert set(again.misbehaved) == {"e"}


def test_a_participant_takes_what_fits_alone():
    prepared = made(ACTIVE, "a")
    right = session()
    assert prepared.fits(ACTIVE, right, Seat("a", credentials=MEMBERS["a"]))
    wrong = [
        (ACTIVE, right, "b", MEMBERS["b"]),
        (ACTIVE, session(round=10), "a", MEMBERS["a"]),
        (ACTIVE, session(run=bytes(16)), "a", MEMBERS["a"]),
        (ACTIVE, session(run=b"", round=0), "a", MEMBERS["a"]),
        (PASSIVE, right, "a", None),
        (ACTIVE, right, "a", Credentials(MEMBERS["a"].identity, larger_roster())),
    ]
    for scheme, other, me, credentials in wrong:
        assert not prepared.fits(scheme, other, Seat(me, credentials=credentials))
        with pytest.raises(ConfigError, match=r"prepared by party 'a' for round 9 of run .*, expected party"):
            Participant(scheme, other, Seat(me, credentials=credentials), prepared=prepared)
    Participant(ACTIVE, right, Seat("a", credentials=MEMBERS["a"]), prepared=prepared)
    assert not prepared.fits(ACTIVE, right, Seat("a", credentials=MEMBERS["a"]))


def larger_roster():
    keys = {party: MEMBERS[party].roster.key(party) for party in PARTIES}
    return Roster(keys | {"f": signing.public_key(bytes(32))})


@both
def test_it_is_used_up(scheme):
    prepared, right = made(scheme, "a"), session()
    Participant(scheme, right, Seat("a", credentials=MEMBERS["a"]), prepared=prepared)
    for use in (
        lambda: Participant(scheme, right, Seat("a", credentials=MEMBERS["a"]), prepared=prepared),
        lambda: prepared.save(KEY),
    ):
        with pytest.raises(LocalMisuse, match=r"party='a', round=9, run=6f6e65.*, used"):
            use()
    assert prepared.message


@both
def test_a_refused_session_uses_nothing_up(scheme):
    """The party's policy says no, and its keys may serve in a session of that round which it can enter."""
    prepared, right = made(scheme, "a"), session()
    with pytest.raises(secagg.errors.PolicyRefused):
        Participant(
            scheme, right, Seat("a", policy=secagg.Policy(min_cohort=9), credentials=MEMBERS["a"]), prepared=prepared
        )
    assert prepared.fits(scheme, right, Seat("a", credentials=MEMBERS["a"]))


@both
def test_saved_and_restored(scheme):
    prepared = made(scheme, "a")
    again = Prepared.restore(prepared.save(KEY), KEY)
    assert (again.message, again.slot) == (prepared.message, prepared.slot)
    assert (again.slot.party, again.slot.round, again.slot.run) == ("a", 9, RUN)
    assert again.fits(scheme, session(), Seat("a", credentials=MEMBERS["a"]))
    saved = prepared.save(KEY)
    participant = Participant(scheme, session(), Seat("a", credentials=MEMBERS["a"]))
    for other, key in ((saved, bytes(32)), (saved[:-1], KEY), (participant.save(KEY), KEY), (b"", KEY)):
        with pytest.raises(StateError):
            Prepared.restore(other, key)


@both
def test_no_secret_shows(scheme):
    prepared = made(scheme, "a", entropy=SeededEntropy(5))
    secrets = SeededEntropy(5)(64)
    assert secrets[:32] in prepared._state
    shown = repr(prepared) + repr([prepared]) + repr(prepared.slot)
    for secret in (secrets[:32], secrets[32:]):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
        assert secret not in prepared.message
        assert secret not in prepared.save(KEY)


def test_a_party_that_is_asked_for_shares_unprepared_refuses():
    server = coordinator(PASSIVE, {party: made(PASSIVE, party).message for party in PARTIES})
    with pytest.raises(PeerMisbehaved, match="ask of phase 'shares', expected 'keys'"):
        Participant(PASSIVE, server.session, "a").answer(server.asks()["a"])


def test_keys_are_not_asked_after_shares_nor_shares_of_one_that_was_asked_for_keys_and_did_not_answer():
    prepared = {party: made(PASSIVE, party) for party in PARTIES}
    server = coordinator(PASSIVE, {party: each.message for party, each in prepared.items()})
    one, other = (Participant(PASSIVE, server.session, party, prepared=prepared[party]) for party in ("a", "b"))
    with pytest.raises(PeerMisbehaved, match="ask of phase 'masked', expected 'shares'"):
        one.answer(asking(PASSIVE, server.session, "masked", "a", AskMasked(b"", b"", b"", b"")))
    assert other.answer(server.asks()["b"])
    with pytest.raises(PeerMisbehaved, match="ask of phase 'keys', expected 'masked'"):
        other.answer(asking(PASSIVE, server.session, "keys", "b", AskKeys()))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"run": b""}, ConfigError, "run of 0 bytes: expected 16"),
        ({"run": "one training run"}, ConfigError, "run is str"),
        ({"round": -1}, OutOfRange, "round is -1"),
        ({"round": True}, OutOfRange, "round is True"),
        ({"credentials": None}, ConfigError, "needs the parties' identities"),
        ({"credentials": MEMBERS["b"]}, ConfigError, "not the one on the roster"),
    ],
)
def test_what_cannot_be_prepared(changes, error, words):
    with pytest.raises(error, match=words):
        made(ACTIVE, "a", **changes)


@pytest.mark.parametrize("party", [None, 2.0, True, "", b"a"], ids=repr)
def test_who_cannot_prepare(party):
    with pytest.raises(BadCohort):
        secagg.prepare(PASSIVE, party, **NAMES)


def test_a_session_of_no_family_takes_nothing():
    with pytest.raises(ConfigError, match="belongs to no run"):
        coordinator(PASSIVE, {"a": made(PASSIVE, "a").message}, run=b"", round=0)
    assert coordinator(PASSIVE, {}, run=b"", round=0).waiting == set(PARTIES)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of what holds it": lambda prepared: copy.deepcopy([{"next": prepared}]),
    "pickle": pickle.dumps,
    "old pickle": lambda prepared: pickle.dumps(prepared, 0),
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_no_copies(duplicate):
    """Two of them would serve two participants. What a refused copy leaves serves one still."""
    prepared = made(PASSIVE, "a")
    with pytest.raises(LocalMisuse, match="its keys serve one round") as error:
        duplicate(prepared)
    assert prepared._state is not None
    assert prepared._state.hex() not in str(error.value)
    participant = Participant(PASSIVE, session(), "a", prepared=prepared)
    with pytest.raises(LocalMisuse, match="party 'a' answers each ask once, so there are no copies"):
        duplicate(participant)

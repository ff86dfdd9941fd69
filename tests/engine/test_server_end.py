"""The server takes one sound reply from each party it asked; whatever else arrives costs its sender at most."""

import numpy as np
import pytest
from damage import rewrapped
from plainsum import PlainSum

from secagg import Coordinator, Participant, Session
from secagg.errors import BadCohort, LocalMisuse, OutOfRange, StateError, TooFew, UnknownParty
from secagg.testing import TestRound
from secagg.wire import codec, frame
from secagg_protocols import PairwiseMasking

PARTIES = ["a", 1, "c", 3]
UPDATES = {party: np.arange(5, dtype=np.uint16) + 1000 * i for i, party in enumerate(PARTIES)}
OTHERS = ["a", "c", 3]
KEY = bytes(range(32))
SCHEME = PairwiseMasking(threshold=3)
PHASES = [phase.name for phase in SCHEME.phases]

every_phase = pytest.mark.parametrize("phase", PHASES)


def new_round(scheme=SCHEME, **options):
    return TestRound(scheme, Session.create(PARTIES, UPDATES["a"]), UPDATES, **options)


def held(phase, scheme=SCHEME):
    """(a round whose `phase` is open and whose replies have not arrived, those replies)."""
    round_ = new_round(scheme, replies=lambda at, party, message: None if at == phase else message)
    while round_.coordinator.phase != phase:
        round_.step()
    round_.exchange()
    return round_, {party: round_.sent[phase, party] for party in PARTIES if (phase, party) in round_.sent}


def receive(round_, replies, parties):
    for party in parties:
        round_.coordinator.receive(party, replies[party])


def finish(round_):
    """Close the open phase and run the rest."""
    round_.coordinator.close_phase()
    return round_.run()


def exact(out, contributors):
    assert out.contributors == frozenset(contributors)
    assert out.sum.tolist() == sum(UPDATES[party].astype(int) for party in contributors).tolist()


def contributors_without(party, phase):
    """Who is in the sum where `party` is lost at `phase`: a party lost at the last one is in it."""
    return PARTIES if phase == PHASES[-1] else [other for other in PARTIES if other != party]


@every_phase
def test_asks_are_the_same_until_the_phase_closes(phase):
    round_, replies = held(phase)
    asks = dict(round_.coordinator.asks())
    receive(round_, replies, ["a", 1])
    assert round_.coordinator.asks() == asks
    with pytest.raises(TypeError):
        round_.coordinator.asks()["a"] = b""
    assert round_.coordinator.asks() == asks


@every_phase
def test_waiting_is_who_has_not_answered(phase):
    round_, replies = held(phase)
    assert round_.coordinator.waiting == frozenset(PARTIES)
    receive(round_, replies, ["c"])
    assert round_.coordinator.waiting == {"a", 1, 3}
    round_.coordinator.receive(1, b"garbage")
    assert round_.coordinator.waiting == {"a", 3}
    receive(round_, replies, ["a", 3])
    assert round_.coordinator.waiting == frozenset()


@every_phase
@pytest.mark.parametrize("stranger", ["b", 2, "1", ""])
def test_a_stranger_is_told_apart(phase, stranger):
    round_, replies = held(phase)
    with pytest.raises(UnknownParty, match=repr(stranger)):
        round_.coordinator.receive(stranger, replies["a"])
    receive(round_, replies, PARTIES)
    exact(finish(round_), PARTIES)


@pytest.mark.parametrize("nobody", [None, 1.0, True, ["a"]])
def test_what_is_no_id_is_no_party(nobody):
    round_, replies = held("keys")
    with pytest.raises(BadCohort, match="expected int or str"):
        round_.coordinator.receive(nobody, replies["a"])


def spoilt(reply, other, phase):
    """{name: (bytes, what `misbehaved` says)}."""
    return {
        "nothing": (b"", "frame of 0 bytes"),
        "garbage": (b"garbage" * 20, "wrong magic"),
        "no bytes": (None, "a NoneType, expected bytes"),
        "text": ("reply", "a str, expected bytes"),
        "truncated": (reply[:-1], "damaged on its way"),
        "trailing": (reply + b"\0", "damaged on its way"),
        "flipped": (reply[:-1] + bytes([reply[-1] ^ 1]), "damaged on its way"),
        "ask": (rewrapped(reply, direction=frame.ASK), "a frame of the other direction, expected a reply"),
        "session": (rewrapped(reply, tag=bytes(16)), "a reply of another session"),
        "impostor": (other, "a reply of another party than 1"),
        "to another ask": (rewrapped(reply, answers=bytes(16)), "a reply to another ask than the one that was sent"),
        "to a later phase": (rewrapped(reply, phase=phase + 1), f"a reply to phase {phase + 1}, which has not begun"),
        "no message": (rewrapped(reply, body=b""), "not a"),
        "longer message": (rewrapped(reply, body=frame.unwrap(reply).body + b"\0"), "not a"),
        "other message": (rewrapped(reply, body=b"\x93\x01\x02\x03"), "not a"),
    }


SPOILT = sorted(spoilt(rewrapped(frame.wrap(1, 0, 0, bytes(16), bytes(16), b"")), b"", 0))


@every_phase
@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_reply_costs_its_sender_alone(phase, name):
    round_, replies = held(phase)
    data, why = spoilt(replies[1], replies["c"], PHASES.index(phase))[name]
    receive(round_, replies, ["a"])
    round_.coordinator.receive(1, data)
    receive(round_, replies, ["c", 3])
    round_.coordinator.receive(1, replies[1])  # too late: the first message counts
    out = finish(round_)
    exact(out, contributors_without(1, phase))
    assert out.lost == {1: phase}
    assert set(out.misbehaved) == {1}
    assert out.misbehaved[1].startswith(f"phase {phase!r}: ")
    assert why in out.misbehaved[1]


@every_phase
def test_a_bad_message_after_a_good_reply_is_named_and_changes_nothing(phase):
    round_, replies = held(phase)
    receive(round_, replies, PARTIES)
    for data in (b"garbage", rewrapped(replies[1], body=b"\x90"), replies["c"]):
        round_.coordinator.receive(1, data)
    out = finish(round_)
    exact(out, PARTIES)
    assert set(out.misbehaved) == {1}
    assert out.lost == {}


def test_a_second_different_reply_is_named():
    round_, replies = held("masked")
    receive(round_, replies, PARTIES)
    round_.coordinator.receive(1, rewrapped(replies[1], body=codec.encode(SCHEME.phases[2].reply(bytes(12)))))
    assert round_.coordinator.misbehaved == {1: "phase 'masked': a second, different reply; the first one counts"}
    exact(finish(round_), PARTIES)


@every_phase
def test_the_same_reply_again_changes_nothing(phase):
    round_, replies = held(phase)
    receive(round_, replies, [*PARTIES, *PARTIES, "a", "a"])
    traffic = [dict(tally.received) for tally in round_.coordinator._round.tallies]
    receive(round_, replies, PARTIES)
    assert [dict(tally.received) for tally in round_.coordinator._round.tallies] == traffic
    out = finish(round_)
    exact(out, PARTIES)
    assert out.misbehaved == {}


@pytest.mark.parametrize("phase", PHASES[:-1])
def test_late_replies_are_no_fault_and_change_nothing(phase):
    round_, replies = held(phase)
    receive(round_, replies, OTHERS)
    round_.coordinator.close_phase()
    while not round_.coordinator.done:
        receive(round_, replies, PARTIES)
        round_.exchange()
        receive(round_, replies, PARTIES)
        round_.coordinator.close_phase()
    receive(round_, replies, PARTIES)
    out = round_.coordinator.result
    exact(out, OTHERS)
    assert (out.lost, out.misbehaved) == ({1: phase}, {})


def test_a_party_that_is_out_is_not_heard():
    """Lost at "shares", it still sends a well-made masked vector of its own."""
    round_, replies = held("shares")
    receive(round_, replies, OTHERS)
    round_.coordinator.close_phase()
    assert set(round_.coordinator.asks()) == set(OTHERS)
    round_.coordinator.receive(1, rewrapped(replies[1], phase=2, body=codec.encode(SCHEME.phases[2].reply(bytes(12)))))
    out = round_.run()
    exact(out, OTHERS)
    assert out.misbehaved == {}


@every_phase
def test_under_the_threshold_the_round_is_over(phase):
    round_, replies = held(phase)
    receive(round_, replies, ["a", 3])
    with pytest.raises(TooFew, match=f"phase {phase!r}: 2 .*, 3 needed; no sum was opened") as caught:
        round_.coordinator.close_phase()
    assert (caught.value.phase, caught.value.answered, caught.value.needed) == (phase, 2, 3)
    assert round_.coordinator.result is None
    restored = Coordinator.restore(SCHEME, round_.coordinator.save(KEY), KEY)
    for coordinator in (round_.coordinator, restored):
        for call in (coordinator.asks, coordinator.close_phase):
            with pytest.raises(LocalMisuse, match=f"this round has ended: phase {phase!r}"):
                call()
        coordinator.receive("c", replies["c"])  # late, and no fault of anybody's
        assert coordinator.misbehaved == {}
        assert coordinator.lost == {1: phase, "c": phase}


def test_after_the_last_phase_there_is_nothing_to_close():
    round_ = new_round()
    round_.run()
    coordinator = round_.coordinator
    assert coordinator.done
    assert coordinator.phase is None
    assert coordinator.asks() == {}
    assert coordinator.waiting == frozenset()
    with pytest.raises(LocalMisuse, match="close_phase after the last phase"):
        coordinator.close_phase()


def test_there_is_no_result_before_the_end():
    round_ = new_round()
    while not round_.coordinator.done:
        assert round_.coordinator.result is None
        round_.step()
    assert round_.coordinator.result is round_.coordinator.result


def test_options_that_do_not_fit_are_refused_before_the_first_message():
    session = Session.create(PARTIES, 0.0)
    for end in (Coordinator, lambda scheme, session: Participant(scheme, session, "a")):
        with pytest.raises(OutOfRange, match=r"threshold is 9: expected 3..4"):
            end(PairwiseMasking(threshold=9), session)


@every_phase
@pytest.mark.parametrize("arrived", range(5))
def test_restored_anywhere_it_gives_the_same_result(phase, arrived):
    """With `arrived` of four replies in, one of them bad; state before the phase was opened too, at 0."""
    round_, replies = held(phase)
    before = round_.coordinator.asks()
    receive(round_, replies, PARTIES[:arrived])
    if arrived < 4:
        round_.coordinator.receive(3, b"garbage")
    old = round_.coordinator
    round_.coordinator = Coordinator.restore(SCHEME, old.save(KEY), KEY)
    assert round_.coordinator.asks() == before
    assert round_.coordinator.waiting == old.waiting
    assert round_.coordinator.misbehaved == old.misbehaved
    receive(round_, replies, PARTIES)
    out = finish(round_)
    exact(out, PARTIES if arrived == 4 else contributors_without(3, phase))
    assert out.lost == ({} if arrived == 4 else {3: phase})


def test_restored_at_each_boundary_it_gives_the_same_result():
    round_ = new_round(lost={3: "unmask", 1: "masked"}, restart=True)
    with pytest.raises(TooFew, match=r"phase 'unmask': 2 .*, 3 needed"):
        round_.run()
    round_ = new_round(lost={3: "masked"}, restart=True)
    out = round_.run()
    exact(out, ["a", 1, "c"])
    assert out.lost == {3: "masked"}
    done = Coordinator.restore(SCHEME, round_.coordinator.save(KEY), KEY)
    assert done.done
    exact(done.result, ["a", 1, "c"])
    assert done.result.traffic == out.traffic
    assert done.result.lost == out.lost


def test_foreign_or_damaged_state_is_refused():
    round_, replies = held("unmask")
    receive(round_, replies, ["a"])
    data = round_.coordinator.save(KEY)
    wrong = {
        "wrong key": (SCHEME, data, bytes(32)),
        "other options": (PairwiseMasking(threshold=4), data, KEY),
        "other options, early": (PairwiseMasking(threshold=4), held("keys")[0].coordinator.save(KEY), KEY),
        "other scheme": (PlainSum(), data, KEY),
        "party's state": (SCHEME, round_.participants["a"].save(KEY), KEY),
        "longer": (SCHEME, data + b"\0", KEY),
    }
    wrong |= {f"cut to {size}": (SCHEME, data[:size], KEY) for size in (0, 1, 27, 28, len(data) - 1)}
    wrong |= {
        f"bit at {place}": (SCHEME, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], KEY)
        for place in range(0, len(data), 97)
    }
    for name, (scheme, state, key) in wrong.items():
        with pytest.raises(StateError):
            pytest.fail(f"restored: {name}, {Coordinator.restore(scheme, state, key)}")


def test_traffic_counts_the_bytes_that_crossed():
    round_ = new_round()
    sent = {}
    while not round_.coordinator.done:
        phase = round_.coordinator.phase
        sent[phase, "server"] = sum(map(len, round_.coordinator.asks().values()))
        round_.step()
        sizes = sorted(len(round_.sent[phase, party]) for party in PARTIES)
        sent[phase, "client"] = (sizes[1] + sizes[2]) / 2
    assert round_.coordinator.result.traffic == sent


def test_a_role_is_asked_alone_and_the_others_stay():
    round_ = new_round(PlainSum())
    round_.step()
    assert round_.coordinator.phase == "blessing"
    assert set(round_.coordinator.asks()) == {"a"}
    round_.step()
    assert set(round_.coordinator.asks()) == set(PARTIES)
    assert round_.coordinator.waiting == frozenset()
    round_.step()
    exact(round_.coordinator.result, PARTIES)
    assert round_.coordinator.lost == {}


@pytest.mark.parametrize("arrived", range(3))
def test_a_round_with_roles_restores_too(arrived):
    round_ = new_round(PlainSum(), restart=True, lost={3: "total", 1: "vector"} if arrived else {})
    exact(round_.run(), ["a", "c", 3] if arrived else PARTIES)


def test_a_reply_to_an_announcement_is_misbehaviour():
    round_, replies = held("vector", PlainSum())
    receive(round_, replies, PARTIES)
    round_.coordinator.close_phase()
    round_.step()
    ask = frame.unwrap(round_.coordinator.asks()["c"])
    round_.coordinator.receive("c", rewrapped(replies["c"], phase=2, answers=ask.checksum))
    assert round_.coordinator.misbehaved == {"c": "phase 'total': a reply to an announcement"}
    round_.step()
    exact(round_.coordinator.result, PARTIES)


def test_a_late_reply_of_another_role_is_no_fault():
    round_, replies = held("blessing", PlainSum())
    with pytest.raises(TooFew, match="phase 'blessing': 0 parties answered, 1 needed"):
        round_.coordinator.close_phase()
    receive(round_, replies, ["a"])
    assert round_.coordinator.lost == {"a": "blessing"}

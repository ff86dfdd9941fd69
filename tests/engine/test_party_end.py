"""A party answers each ask once, in order, keeps the answer before it leaves, and reveals nothing out of turn."""

import traceback
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from damage import rewrapped, with_field
from plainsum import PlainSum

from secagg import Coordinator, Participant, Policy, Session
from secagg.errors import (
    InputError,
    LocalMisuse,
    NotFinite,
    PeerMisbehaved,
    PolicyRefused,
    StateError,
    UnknownParty,
    WireError,
)
from secagg.scheme import Seat
from secagg.testing import SeededEntropy, TestRound, rewritten
from secagg.wire.packed import pack_bits
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskUnmask

PARTIES = ["a", 1, "c", 3]
UPDATES = {party: np.full(5, i / 8) for i, party in enumerate(PARTIES)}
KEY = bytes(range(32))
SCHEME = PairwiseMasking()
PHASES = [phase.name for phase in SCHEME.phases]


def new_round(scheme=SCHEME, **options):
    return TestRound(scheme, Session.create(PARTIES, UPDATES["a"]), UPDATES, **options)


def recorded():
    """{phase: ask to "a"} and {phase: its reply} of a whole round, and a fresh twin that gives the same replies."""
    seen, session = {}, Session.create(PARTIES, UPDATES["a"])

    def watch(phase, party, ask):
        seen[phase, party] = ask
        return ask

    round_ = TestRound(SCHEME, session, UPDATES, asks=watch)
    round_.participants["a"] = Participant(SCHEME, session, Seat("a", entropy=SeededEntropy(7)))
    round_.run()
    asks = {phase: seen[phase, "a"] for phase in PHASES}
    replies = {phase: round_.sent[phase, "a"] for phase in PHASES}
    return asks, replies, Participant(SCHEME, session, Seat("a", entropy=SeededEntropy(7)))


def advanced(to):
    """(asks, replies, a party that has answered every phase before `to`)."""
    asks, replies, party = recorded()
    for phase in PHASES[: PHASES.index(to)]:
        assert party.answer(asks[phase], UPDATES["a"]) == replies[phase]
    return asks, replies, party


every_phase = pytest.mark.parametrize("phase", PHASES)


@pytest.mark.parametrize(("phase", "wrong"), list(permutations(PHASES, 2)))
def test_asks_out_of_order(phase, wrong):
    """An earlier one is the same again, or a late copy of it; a later one is the server's fault, and the last."""
    asks, replies, party = advanced(phase)
    before, behind = party.step, PHASES.index(phase) - PHASES.index(wrong)
    if behind == 1:
        assert party.answer(asks[wrong]) == replies[wrong]
    elif behind > 1:
        with pytest.raises(WireError, match=f"a late copy of the ask of phase {wrong!r}"):
            party.answer(asks[wrong], UPDATES["a"])
    else:
        with pytest.raises(PeerMisbehaved, match=f"ask of phase {wrong!r}, expected {phase!r}") as caught:
            party.answer(asks[wrong], UPDATES["a"])
        assert caught.value.culprits == frozenset()
    assert party.step == before + (behind < 0)
    assert (party.left is None) == (behind > 0)
    if behind > 0:
        assert party.answer(asks[phase], UPDATES["a"]) == replies[phase]


def test_nothing_is_expected_after_the_last_phase():
    asks, replies, party = recorded()
    for phase in PHASES:
        party.answer(asks[phase], UPDATES["a"])
    with pytest.raises(WireError, match="a late copy of the ask of phase 'keys'"):
        party.answer(asks["keys"])
    assert party.answer(asks["unmask"]) == replies["unmask"]
    with pytest.raises(PeerMisbehaved, match="ask of phase 'keys', expected None"):
        party.answer(rewrapped(asks["keys"], answers=b"another ask here"))


@every_phase
def test_a_repeated_ask_gets_the_same_bytes_and_needs_no_update(phase):
    asks, replies, party = advanced(phase)
    assert party.answer(asks[phase], UPDATES["a"]) == replies[phase]
    step = party.step

    def never():
        raise AssertionError("trained again")

    for update in (never, None, UPDATES["a"] * 2):
        assert party.answer(asks[phase], update) == replies[phase]
    assert party.answer(bytearray(asks[phase])) == replies[phase]
    assert party.step == step == PHASES.index(phase) + 1


def test_a_refusal_is_final():
    """A server that counts this party's vector out and asks for shares all the same: the party leaves, and says why."""
    asks, _, party = advanced("unmask")
    bad = with_field(asks["unmask"], SCHEME.phases[-1].ask, "contributors", b"\x0e")
    with pytest.raises(PeerMisbehaved, match="leaves this party's vector out"):
        party.answer(bad)
    for end in (party, Participant.restore(SCHEME, party.save(KEY), KEY, party.me)):
        for ask in (asks["unmask"], bad, asks["masked"]):
            with pytest.raises(LocalMisuse, match="this party has left the round: the server asks"):
                end.answer(ask, UPDATES["a"])


def test_store_runs_before_the_reply_leaves_on_every_answer():
    asks, replies, party = recorded()
    stored = []
    for phase in PHASES:
        for _ in range(2):
            reply = party.answer(asks[phase], UPDATES["a"], store=lambda me: stored.append(me.save(KEY)))
            assert reply == replies[phase]
            restored = Participant.restore(SCHEME, stored[-1], KEY, party.me, latch=party.step)
            assert restored.answer(asks[phase]) == reply
    assert len(stored) == 2 * len(PHASES)


@every_phase
def test_where_storing_fails_nothing_leaves(phase):
    asks, replies, party = advanced(phase)
    calls = []

    def full(me):
        calls.append(me)
        raise OSError("disk full")

    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            party.answer(asks[phase], UPDATES["a"], store=full)
    assert party.answer(asks[phase], None, store=calls.append) == replies[phase]
    assert calls == [party] * 3


def test_nothing_is_stored_where_nothing_has_changed():
    asks, _, party = advanced("masked")
    stored = []
    for ask, update, error in (
        (asks["masked"], np.full(5, np.nan), InputError),
        (asks["keys"], None, WireError),
        (b"garbage", None, WireError),
    ):
        with pytest.raises(error):
            party.answer(ask, update, store=stored.append)
    assert stored == []


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (np.array([0, 0, np.nan, 0, 0]), r"party 'a': update\[2\] is nan, expected a finite number"),
        (np.zeros(4), r"party 'a': update: shape \(4,\), expected \(5,\)"),
        (None, r"party 'a': update: NoneType, expected floats"),
        (lambda: "text", r"party 'a': update: entries are str"),
    ],
)
def test_after_an_input_error_a_good_update_still_counts(update, message):
    asks, replies, party = advanced("masked")
    with pytest.raises(InputError, match=message) as caught:
        party.answer(asks["masked"], update)
    assert caught.value.party == "a"
    with pytest.raises(InputError, match="party 'a': weight 2: the session has no weights"):
        party.answer(asks["masked"], UPDATES["a"], weight=2)
    assert party.answer(asks["masked"], UPDATES["a"]) == replies["masked"]


def test_the_update_is_asked_for_once_and_only_where_it_is_due():
    asks, _, party = recorded()
    calls = []

    def train():
        calls.append(party.step)
        return UPDATES["a"]

    for phase in PHASES:
        party.answer(asks[phase], train)
        party.answer(asks[phase], train)
    assert calls == [PHASES.index("masked")]


@every_phase
@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
def test_restored_in_any_phase_it_gives_the_same_replies(phase, answered):
    asks, replies, party = advanced(phase)
    if answered:
        party.answer(asks[phase], UPDATES["a"])
    restored = Participant.restore(SCHEME, party.save(KEY), KEY, party.me, latch=party.step)
    assert (restored.me, restored.step, restored.session) == (party.me, party.step, party.session)
    if answered:
        assert restored.answer(asks[phase]) == replies[phase]
    else:
        assert restored.answer(asks[phase], UPDATES["a"]) is not None
    for later in PHASES[PHASES.index(phase) + 1 :]:
        assert restored.answer(asks[later], UPDATES["a"]) is not None


def test_a_restored_party_keeps_its_policy_and_context():
    session = Session.create(PARTIES, 0.0, context=b"theirs")
    party = Participant(
        SCHEME, session, Seat(1, policy=Policy(min_cohort=4), context=b"mine", entropy=SeededEntropy(1))
    )
    restored = Participant.restore(SCHEME, party.save(KEY), KEY, Seat(1, entropy=SeededEntropy(2)))
    assert restored.me == 1
    seen = []
    round_ = TestRound(SCHEME, session, dict.fromkeys(PARTIES, 0.0), lost={3: "masked"})
    round_.participants[1] = restored
    while round_.coordinator.phase != "masked":
        seen.append(round_.coordinator.phase)
        round_.step()
    assert "another model, round or configuration" in round_.coordinator.misbehaved[1]

    strict = Participant(SCHEME, session, 1, policy=Policy(min_cohort=4))
    round_ = TestRound(SCHEME, session, dict.fromkeys(PARTIES, 0.0), lost={3: "masked"})
    round_.participants[1] = Participant.restore(SCHEME, strict.save(KEY), KEY, 1)
    while round_.coordinator.phase != "unmask":
        round_.step()
    with pytest.raises(PolicyRefused, match="a sum over 3 parties: this party's policy asks for at least 4"):
        round_.participants[1].answer(round_.coordinator.asks()[1])


STRICTER = {"min_cohort": 4, "max_dim": 100, "min_threshold": 3}


@pytest.mark.parametrize("name", STRICTER)
def test_a_restored_party_has_the_stricter_of_two_policies(name):
    """The one under which it was saved, or its seat's: neither a restart nor old state is a way around a limit."""
    lax, strict = Policy(), Policy(**{name: STRICTER[name]})
    session = Session.create(PARTIES, UPDATES["a"])
    for saved, brought in ((lax, strict), (strict, lax), (strict, strict)):
        party = Participant(SCHEME, session, Seat("a", policy=saved))
        restored = Participant.restore(SCHEME, party.save(KEY), KEY, Seat("a", policy=brought))
        assert restored.seat.policy == strict
        again = Participant.restore(SCHEME, restored.save(KEY), KEY, "a")
        assert again.seat.policy == strict


def spoilt():
    """(name, state of "a" after "shares", scheme, key)."""
    _, _, party = advanced("masked")
    data = party.save(KEY)
    yield "wrong key", data, SCHEME, bytes(32)
    yield "other options", data, PairwiseMasking(threshold=4), KEY
    yield "other scheme", data, PlainSum(), KEY
    yield "server's state", Coordinator(SCHEME, party.session).save(KEY), SCHEME, KEY
    for size in (0, 1, 27, 28, len(data) - 1):
        yield f"cut to {size}", data[:size], SCHEME, KEY
    yield "longer", data + b"\0", SCHEME, KEY
    for place in range(0, len(data), 29):
        yield f"bit {place}", data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :], SCHEME, KEY


def test_foreign_or_damaged_state_is_refused():
    for name, data, scheme, key in spoilt():
        with pytest.raises(StateError):
            pytest.fail(f"restored: {name}, {Participant.restore(scheme, data, key, 1)}")


def test_state_older_than_the_latch_is_refused():
    asks, _, party = advanced("masked")
    old = party.save(KEY)
    party.answer(asks["masked"], UPDATES["a"])
    with pytest.raises(StateError, match="state at step 2, but this party is known to have reached step 3"):
        Participant.restore(SCHEME, old, KEY, party.me, latch=party.step)
    assert Participant.restore(SCHEME, party.save(KEY), KEY, party.me, latch=party.step).step == 3
    assert Participant.restore(SCHEME, old, KEY, party.me, latch=2).step == 2


def test_state_is_encrypted_afresh_each_time():
    _, _, party = advanced("masked")
    first, second = party.save(KEY), party.save(KEY)
    assert first != second
    plain = party.state()
    assert not any(plain[i : i + 8] in first for i in range(0, len(plain) - 8, 8))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "x" * 32, None])
def test_a_key_of_another_length_is_refused(key):
    _, _, party = recorded()
    with pytest.raises(ValueError, match="AES-256 key: expected 32 bytes"):
        party.save(key)
    with pytest.raises(ValueError, match="AES-256 key: expected 32 bytes"):
        Participant.restore(SCHEME, party.save(KEY), key, party.me)


@pytest.mark.parametrize("nobody", ["b", 2, "1"])
def test_a_stranger_is_no_participant(nobody):
    with pytest.raises(UnknownParty, match=repr(nobody)):
        Participant(SCHEME, Session.create(PARTIES, 0.0), nobody)


def test_the_policy_is_asked_before_anything_is_made():
    with pytest.raises(PolicyRefused, match="a sum over 4 parties"):
        Participant(SCHEME, Session.create(PARTIES, 0.0), "a", policy=Policy(min_cohort=5))


def test_nan_is_refused_before_the_vector_is_masked():
    asks, _, party = advanced("masked")
    before = party._machine.save(), party.step
    with pytest.raises(NotFinite):
        party.answer(asks["masked"], np.full(5, np.inf))
    assert (party._machine.save(), party.step) == before


def test_an_announcement_has_no_reply_and_may_carry_the_result():
    round_ = new_round(PlainSum())
    round_.run()
    for participant in round_.participants.values():
        result = participant.result
        assert result.contributors == frozenset(range(len(PARTIES)))
        assert result.vector.tolist() == round_.coordinator._sum.vector.tolist()
        again = Participant.restore(round_.scheme, participant.save(KEY), KEY, participant.me)
        assert again.result.vector.tolist() == result.vector.tolist()
        assert again.result.vector.flags.writeable
        assert again.result.contributors == result.contributors
    assert round_.participants["a"].step == 3  # "a" is the elder too
    assert round_.participants[1].step == 2


def test_a_repeated_announcement_is_none_again():
    round_ = new_round(PlainSum())
    round_.step()
    round_.step()
    ask = round_.coordinator.asks()["c"]
    assert round_.participants["c"].answer(ask) is None
    assert round_.participants["c"].answer(ask) is None
    assert round_.participants["c"].step == 2


def test_a_refusal_is_stored_and_outlives_a_restart():
    round_ = new_round()
    for _ in range(3):
        round_.step()
    party, stored = round_.participants["a"], []
    alone = pack_bits([True, False, False, False])
    nobody_else = rewritten(round_.coordinator.asks()["a"], AskUnmask, contributors=alone)
    with pytest.raises(PolicyRefused):
        party.answer(nobody_else, store=lambda state: stored.append(state.save(KEY)))
    restarted = Participant.restore(SCHEME, stored[-1], KEY, party.me)
    with pytest.raises(LocalMisuse, match="has left the round"):
        restarted.answer(round_.coordinator.asks()["a"])


def test_what_is_stored_after_a_refusal_holds_no_secret():
    """It answers nothing more, so nothing that it held for later phases is needed (all kinds: test_refusals)."""
    round_ = new_round()
    for _ in range(3):
        round_.step()
    party = round_.participants["a"]
    secrets, shares = party._machine.save(), party._machine.stage.shares
    assert secrets in party.state()
    assert shares in party.state()
    with pytest.raises(PolicyRefused):
        party.answer(
            rewritten(round_.coordinator.asks()["a"], AskUnmask, contributors=pack_bits([True, False, False, False]))
        )
    assert party._machine is None
    assert secrets not in party.state()
    assert shares not in party.state()
    assert Participant.restore(SCHEME, party.save(KEY), KEY, "a")._machine is None


def told(error):
    """All that an error reporter can send: the whole chain, with the local variables of every frame."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize("kind", [PolicyRefused, WireError])
def test_errors_of_a_machine_carry_none_of_its_frames(kind):
    """Whatever the protocol: also one that does not think of it, and where storing the refusal fails as well."""
    round_ = new_round()

    def refuses(phase, ask):
        secret = KEY.hex()
        raise kind(f"no, by a secret of {len(secret)} digits")

    def fails(_):
        raise OSError("disk full")

    party, ask = round_.participants["a"], round_.coordinator.asks()["a"]
    party._machine.read = refuses
    with pytest.raises((kind, OSError)) as caught:
        party.answer(ask, store=fails)
    text = told(caught.value)
    assert kind is WireError or isinstance(caught.value, OSError)
    assert "64 digits" in text
    assert KEY.hex() not in text


def test_where_there_are_no_weights_a_declared_range_changes_none():
    out = new_round(policy=Policy(weights=(5, 60))).run()
    assert (out.weight, out.abstained, out.contributors) == (4, 0, set(PARTIES))


def test_a_weight_outside_the_declared_range_counts_as_its_end():
    session = Session.create(PARTIES, UPDATES["a"], weight_max=60, weight_min=5)
    weights = dict(zip(PARTIES, (7, 61, 10**9, 60), strict=True))
    out = TestRound(SCHEME, session, UPDATES, weights=weights, policy=Policy(weights=(5, 50))).run()
    assert out.weight == 7 + 3 * 50


@pytest.mark.parametrize(
    "policy",
    [
        Policy(weights=(100, 200), clip=(1e-5, 1e6), bits=(4, 8)),
        Policy(weights=(100, 200), clip={"*": (1e-5, 1.0)}, levels=1),
    ],
)
def test_a_party_comes_back_with_the_limits_by_which_it_entered(policy):
    """By its id alone, as a journal's state is restored."""
    session = Session.create(PARTIES, UPDATES["a"], weight_max=200, weight_min=100, clip=1e-5, bits=8)
    round_ = TestRound(SCHEME, session, UPDATES, weights=dict.fromkeys(PARTIES, 150), policy=policy, restart=True)
    assert round_.run().weight == 4 * 150
    again = Participant.restore(SCHEME, Participant(SCHEME, session, "a", policy).save(KEY), KEY, "a")
    assert again.seat.policy == policy
    stricter = Participant.restore(SCHEME, again.save(KEY), KEY, Seat("a", Policy(min_cohort=4)))
    assert stricter.seat.policy == replace(policy, min_cohort=4)


def test_a_weight_is_clamped_after_a_restart_too():
    session = Session.create(PARTIES, UPDATES["a"], weight_max=1000)
    weights, policy = dict.fromkeys(PARTIES, 900), Policy(weights=(100, 200))

    class Restored(TestRound):
        def answer(self, phase, party, ask):
            state = self.participants[party].save(KEY)
            self.participants[party] = Participant.restore(SCHEME, state, KEY, party)
            return super().answer(phase, party, ask)

    assert Restored(SCHEME, session, UPDATES, weights=weights, policy=policy).run().weight == 4 * 200

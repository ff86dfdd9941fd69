"""A client enters what it allows, compares what it trains by, answers once, and forgets what it no longer needs."""

import logging
import struct
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from msgspec import structs

from secagg import Credentials, Policy
from secagg.encoding.layout import Layout
from secagg.errors import (
    ConfigError,
    InconsistentModel,
    InputError,
    LocalMisuse,
    PeerMisbehaved,
    PolicyRefused,
    StateError,
    WireError,
)
from secagg.federation.choice import AllowedSchemes, SchemeChoice
from secagg.federation.client import Client, Limits, Trained, told
from secagg.federation.context import digest_of, sorted_by_key
from secagg.federation.memory import Memory, SavedKeys, SavedRound
from secagg.federation.messages import PREPARE, Ahead, Ask, Invitation, Reply
from secagg.federation.round import MAX_PREPARED, LatePolicy, Plan
from secagg.federation.server import Server
from secagg.federation.update import EncodingSpec, Model
from secagg.scheme import Session, Store
from secagg.testing import SeededEntropy, rewritten
from secagg.wire import frame
from secagg.wire.packed import pack_bits
from secagg_protocols.pairwise.messages import AskMasked, AskUnmask

NAMES = ["a", "b", "c", "d"]
ARRAYS = {"w": np.linspace(-1, 1, 5), "n": np.array(7)}
FIRST, STEADY = ["keys", "shares", "masked", "unmask"], ["shares", "masked", "unmask"]


class Records(Memory):
    """In a dict."""

    def __init__(self, lasting):
        self.lasting, self.records, self.kept = lasting, {}, Store()

    def _read(self, name):
        return self.records.get(name)

    def _write(self, name, key, record):
        assert self.lasting
        self.records[name] = key, record

    def forget(self, kind):
        self.records.pop(kind.NAME, None)

    def party_store(self):
        return self.kept


class Party:
    """A client whose process ends after every message where its memory is `lasting`."""

    def __init__(self, me, lasting=True, credentials=None):
        schemes = AllowedSchemes(frozenset({"secagg"}), None, credentials is not None)
        self.me, self.memory, self.entropy = me, Records(lasting), SeededEntropy(me)
        self.limits = Limits(Policy(weights=(1, 10)), schemes, credentials, "weight", {"loss": (0.5, 2.0)})
        self.start()

    def start(self):
        self.client = Client(self.me, lambda: self.limits, self.memory, self.entropy)

    def answer(self, ask, sent=ARRAYS, move=0.25, train=None):
        if self.memory.lasting:
            self.start()
        with self.client.leaving():
            if not self.client.begin(ask):
                return self.client.answer(ask)
            self.client.check(digest_of(sent), sent)
            arrays = {name: array + move for name, array in sent.items()}
            return self.client.answer(ask, train or trained(sent, arrays))


def trained(received=ARRAYS, arrays=ARRAYS, weight=3, loss=0.5):
    """What training returns."""
    return lambda: Trained(received, arrays, {"weight": weight}, {"loss": loss})


class Federation:
    """Parties of one run, and its server; `lose(party, phase)` says who is silent where."""

    def __init__(self, lasting=True, active=False, seed="server"):
        known = Credentials.generate(NAMES, SeededEntropy("federation")) if active else {}
        self.parties = {me: Party(me, lasting, known.get(me)) for me in NAMES}
        choice = SchemeChoice("secagg", {"threshold": 3} | ({"adversary": "active"} if active else {}))
        spec = EncodingSpec(16, 0.5, 10, {"loss": 1.0}, "stochastic", 1)
        roster = known[NAMES[0]].roster if active else None
        self.said, self.trips, self.asked = [], [], {}
        late = LatePolicy(share=0.25, least=3)
        self.server = Server(Plan(choice, spec, "weight", late, roster, SeededEntropy(seed), self._say, "clinic"))
        self.lose = lambda party, phase: False
        self.trains = {}

    def _say(self, level, text):
        self.said.append((level, text))

    def round(self, number=1, last=False):
        current = self.server.open(NAMES, Model(ARRAYS, digest_of(ARRAYS)), last)
        for party, ask in current.requests().items():
            self.move(current, party, ask)
        while not current.coordinator.done:
            asks = current.asks()
            self.trips += {ask.phase for ask in asks.values()}
            for party, ask in asks.items():
                self.move(current, party, ask)
            current.coordinator.close_phase()
        return self.server.close(number, current), current

    def move(self, current, party, ask):
        self.asked[party, ask.phase] = ask
        if not self.lose(party, ask.phase):
            current.receive(party, lambda: self.parties[party].answer(ask, train=self.trains.get(party)))

    def asked_of_a(self, phase):
        self.round()
        return self.asked["a", phase]


def held_at(phase, **how):
    """A party of a round that stopped before this phase, and its ask."""
    federation = Federation(**how)

    class Held(Exception):
        pass

    def lose(party, at):
        if at == phase:
            raise Held

    federation.lose = lose
    with pytest.raises(Held):
        federation.round()
    return federation.parties["a"], federation.asked["a", phase]


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("lasting", [False, True])
def test_rounds_whose_keys_ride_on_the_round_before(lasting, active):
    federation = Federation(lasting, active)
    for number in (1, 2, 3):
        outcome, current = federation.round(number, last=number == 3)
        mean, bound = current.result().mean, outcome.error_bound
        loss = current.metrics()["loss"].mean
        assert outcome.contributors == set(NAMES)
        assert outcome.weight == 12
        assert np.abs(mean["arrays"]["w"] - 0.25).max() <= bound["w"]
        assert abs(loss - 0.5) <= bound["metrics/loss"]
    whole = [*FIRST[:3], "consistency", "unmask"] if active else FIRST
    assert federation.trips == [*whole, *(whole[1:] * 2)]
    assert (logging.INFO, "secure aggregation: sum of 4 clinics, 0 lost") in federation.said
    for party in federation.parties.values():
        assert party.memory.records == {}


def test_whoever_has_no_keys_is_asked_beside_the_round():
    federation = Federation()
    federation.lose = lambda party, phase: (party, phase) == ("b", "unmask")
    federation.round()
    federation.lose = lambda party, phase: False
    outcome, _ = federation.round(2)
    assert (outcome.contributors, outcome.left_out) == ({"a", "c", "d"}, {"b"})
    assert federation.asked["b", PREPARE].ahead.round == 2
    outcome, _ = federation.round(3)
    assert outcome.contributors == set(NAMES)
    assert federation.trips == [*FIRST, *STEADY, *STEADY]


def test_no_number_and_nothing_prepared_serves_twice():
    federation = Federation()
    model = Model(ARRAYS, digest_of(ARRAYS))
    federation.round()
    second, third = (federation.server.open(NAMES, model) for _ in range(2))  # the second comes to nothing
    sessions = [current.coordinator.session for current in (second, third)]
    assert [session.round for session in sessions] == [1, 2]
    assert sessions[0].run == sessions[1].run == bytes.fromhex(federation.asked["a", "unmask"].ahead.run)
    assert [current.coordinator.phase for current in (second, third)] == ["shares", "keys"]
    assert [len(current.asks()) for current in (second, third)] == [4, 4]


def test_what_is_too_long_for_keys_is_not_kept():
    federation = Federation()
    current = federation.server.open(NAMES, Model(ARRAYS, digest_of(ARRAYS)))
    current.asks()
    for party, size in (("a", MAX_PREPARED), ("b", MAX_PREPARED + 1)):
        assert current.receive(party, lambda size=size: Reply("unmask", None, bytes(size)))
    assert set(current.prepared) == {"a"}
    assert federation.said[-1:] == [
        (logging.WARNING, "secure aggregation: clinic b: prepared 4097 bytes, expected keys")
    ]


def test_of_strangers_nothing_is_taken():
    current = Federation().server.open(NAMES, Model(ARRAYS, digest_of(ARRAYS)))
    current.asks()
    assert current.receive("stranger", lambda: Reply("keys", b"frame", b"keys"))
    assert current.prepared == {}
    assert current.coordinator.waiting == set(NAMES)


def test_a_skipped_round_is_told_with_what_was_lost():
    federation = Federation()
    outcome = federation.server.close(1, None, "1 clinics sampled, 3 needed")
    assert outcome.failure == "1 clinics sampled, 3 needed"
    assert "round 1 skipped, the model stays: 1 clinics" in federation.said[-1][1]


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("phase", FIRST[:3])
def test_the_same_ask_again_gets_the_same_bytes(phase, lasting):
    party, ask = held_at(phase, lasting=lasting)
    first = party.answer(ask)
    assert party.answer(ask, move=0.125) == first


@pytest.mark.parametrize("lasting", [False, True])
def test_another_model_is_not_trained_and_ends_the_round(lasting):
    party, ask = held_at("masked", lasting=lasting)
    with pytest.raises(InconsistentModel):
        party.answer(ask, sent={**ARRAYS, "w": ARRAYS["w"] * 2})
    assert party.memory.records == {}
    with pytest.raises(StateError, match="in no round"):
        party.answer(ask)


def test_an_update_trained_by_what_was_not_compared_is_not_taken():
    party, ask = held_at("masked")
    party.start()
    assert party.client.begin(ask)
    with pytest.raises(LocalMisuse, match="check comes first"):
        party.client.answer(ask, trained())


UNUSABLE = {
    "another structure": trained(arrays={"w": ARRAYS["w"]}),
    "not finite": trained(arrays={**ARRAYS, "w": ARRAYS["w"] * np.nan}),
    "no whole weight": trained(weight=2.5),
    "a weight below nothing": trained(weight=-3),
    "no weight": trained(weight=None),
    "nothing to train on": trained(weight=0),
}
WEIGHED = {"another structure": 3, "not finite": 3}
"""As the client itself; else as the least that it declares."""


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("why", UNUSABLE)
def test_who_cannot_be_summed_is_counted_and_not_seen(why, active, caplog):
    federation = Federation(active=active)
    federation.trains["b"] = UNUSABLE[why]
    outcome, current = federation.round()
    assert (outcome.contributors, outcome.lost, outcome.abstained) == (set(NAMES), {}, 1)
    assert outcome.weight == 9 + WEIGHED.get(why, 1)
    moved = 0.25 * 9 / outcome.weight
    assert np.abs(current.result().mean["arrays"]["w"] - moved).max() <= outcome.error_bound["w"]
    assert (logging.WARNING, "secure aggregation: 1 clinics abstained: what they had could not be summed") in (
        federation.said
    )
    logged = [record for record in caplog.records if record.name == "secagg.federation"]
    assert len(logged) == 1


@pytest.mark.parametrize("why", UNUSABLE)
def test_who_would_rather_fall_silent_does_so_without_a_word(why):
    party, ask = held_at("masked", lasting=False)
    party.limits = replace(party.limits, unusable="silent")
    with pytest.raises(InputError) as caught:
        party.answer(ask, train=UNUSABLE[why])
    assert told(caught.value) == "InputError: this client has no update in this round; its own log says why"
    assert told(PolicyRefused("too few")) == "PolicyRefused: too few"
    with pytest.raises(StateError, match="in no round"):  # nor does it train again for the asking
        party.answer(ask)


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, PeerMisbehaved, StateError])
def test_whose_training_fails_is_out_of_the_round(error, lasting):
    """Would it abstain, a server that makes all fail but one would have that one's update."""
    party, ask = held_at("masked", lasting=lasting)

    def train():
        raise error("ada/patients.csv: no row 17")

    with pytest.raises(error):
        party.answer(ask, train=train)
    assert party.memory.records == {}
    with pytest.raises(StateError, match="in no round"):
        party.answer(ask)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"weighted_by": "epochs"}, "weights by 'epochs': this client's have another name"),
        (
            {"metrics": {"loss": 1.0, "num-positives": 1.0}},
            "metric 'num-positives' with clip 1: this client declares no",
        ),
        ({"metrics": {"loss": 3.0}}, "metric 'loss' with clip 3: this client declares no such one"),
        ({"metrics": {"loss": 1e-4}}, "metric 'loss' with clip 0.0001: this client declares no such one"),
    ],
)
def test_a_server_that_may_lie_names_no_weight_and_no_metric(change, match):
    """A weight that is a count of positives is zero at all who have none: what is left is who has."""
    for active in (True, False):
        party, ask = held_at("keys", active=active)
        terms = structs.replace(Invitation.from_bytes(ask.terms), **change)
        ask = structs.replace(ask, terms=terms.to_bytes())
        if active:
            with pytest.raises(PolicyRefused, match=match):
                party.answer(ask)
        else:
            assert party.answer(ask).frame is not None


def test_a_server_that_may_lie_opens_no_session_of_no_run():
    party, ask = held_at("keys", active=True)
    session = structs.replace(Session.from_bytes(ask.session), run=b"", round=0)
    with pytest.raises(PolicyRefused, match="a session of no run"):
        party.answer(structs.replace(ask, session=session.to_bytes()))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rounding": "nearest", "weights": None}, "rounding is 'nearest'"),
        ({"bits": 5, "weights": None}, "5 bits: fewer levels than this client asks for"),
    ],
)
def test_a_server_that_may_lie_leaves_no_entry_alone_above_half_a_step(change, match):
    """Unweighted too: whoever's entries alone are above it stands in the sum alone."""
    party, ask = held_at("keys", active=True)
    session = Session.from_bytes(ask.session)
    session = structs.replace(session, encoding=structs.replace(session.encoding, **change))
    with pytest.raises(PolicyRefused, match=match):
        party.answer(structs.replace(ask, session=session.to_bytes()))


def test_a_request_to_prepare_is_measured_before_it_is_read():
    party, ask = held_at("keys")
    party.limits = replace(party.limits, policy=Policy(max_size=len(ask.terms) - 1))
    with pytest.raises(PolicyRefused, match="this party's policy reads"):
        party.answer(Ask(PREPARE, b"", ask.terms, None, Ahead("00" * 16, 5, 4)))


def test_a_session_is_measured_before_it_is_read():
    party, ask = held_at("keys")
    size = len(ask.terms) + len(ask.session)
    party.limits = replace(party.limits, policy=Policy(max_size=size - 1))
    with pytest.raises(PolicyRefused, match=f"a session of {size} bytes: this party's policy reads {size - 1}"):
        party.answer(structs.replace(ask, session=b"\xff" * len(ask.session)))
    party.limits = replace(party.limits, policy=Policy(max_size=size))
    assert party.answer(ask).frame is not None


def test_a_session_for_updates_of_another_structure_is_not_trained_for():
    """All would train, make vectors of the session's size, and have nothing to put into them."""
    party, first = held_at("keys")
    session = Session.from_bytes(first.session)
    another = {"layout": Layout.of({"arrays": np.zeros(2**20)}), "clips": (struct.pack("<d", 1),)}
    encoding = structs.replace(session.encoding, **another)
    party.start()
    party.client.begin(structs.replace(first, session=structs.replace(session, encoding=encoding).to_bytes()))
    with pytest.raises(InconsistentModel):
        party.client.check(digest_of(ARRAYS), ARRAYS)


@pytest.mark.parametrize(("weight", "counts_as"), [(1, 2), (2, 2), (5, 5), (9, 8), (10**9, 8)])
def test_a_weight_beyond_the_declared_range_counts_as_its_end(weight, counts_as):
    federation = Federation()
    for party in federation.parties.values():
        party.limits = replace(party.limits, policy=Policy(weights=(2, 8)))
    federation.trains["b"] = trained(weight=weight)
    assert federation.round()[0].weight == 9 + counts_as


def test_in_active_mode_a_client_declares_its_range_of_weights():
    party, ask = held_at("keys", active=True)
    party.limits = replace(party.limits, policy=Policy())
    with pytest.raises(PolicyRefused, match=r"does not declare its range of weights \(Policy.weights\)"):
        party.answer(ask)


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        ({"clip": (1.0, 2.0)}, r"clip of update\['arrays'\]\['w'\] is 0.5: this party's policy allows 1..2"),
        ({"clip": {"w": (1.0, 2.0)}}, r"clip of update\['arrays'\]\['w'\] is 0.5"),
        ({"clip": {"*": (0.1, 1.0)}}, r"clip of update\['arrays'\]\['n'\] is 4095"),
        ({"bits": (17, 32)}, "bits is 16: this party's policy allows 17..32"),
        ({"weights": (1, 20)}, "weights 1..10: this party declares others"),
        ({"weight_ratio": 9}, "weights 1..10: this party's policy allows a ratio of 9"),
        ({"levels": 3277}, "weights 1..10 leave the lightest party 3276 levels"),
    ],
)
def test_a_number_format_outside_the_policy_is_refused_before_keys(policy, match):
    party, ask = held_at("keys")
    party.limits = replace(party.limits, policy=Policy(**policy))
    with pytest.raises(PolicyRefused, match=match):
        party.answer(ask)


def test_ranges_of_clips_are_of_arrays_and_not_of_metrics():
    party, ask = held_at("keys")
    party.limits = replace(party.limits, policy=Policy(clip={"*": (0.4, 0.6), "n": (1.0, 5000.0)}))
    assert party.answer(ask).frame is not None


@pytest.mark.parametrize(("active", "allowed", "abstained"), [(True, 0.25, 1), (True, 0.9, 0), (False, 0.25, 0)])
def test_an_update_that_is_mostly_signs_abstains_before_a_server_that_may_lie(active, allowed, abstained):
    """Signs times known weights can be taken apart, and the clip is the server's word."""
    federation = Federation(active=active)
    for party in federation.parties.values():
        party.limits = replace(party.limits, saturation=allowed)
    federation.trains["b"] = trained(arrays={**ARRAYS, "w": ARRAYS["w"] + [1, -1, 1, -1, 1]})  # of 6 floats 5
    outcome, _ = federation.round()
    assert (outcome.abstained, outcome.saturated) == (abstained, 0 if abstained else 5)


@pytest.mark.parametrize("loss", [None, np.nan, np.inf, "much", True])
def test_a_metric_that_one_party_lacks_is_of_the_others(loss):
    federation = Federation()
    federation.trains = {"a": trained(loss=0.25, weight=10), "b": trained(loss=loss)}
    outcome, current = federation.round()
    mean, bound = current.metrics()["loss"].mean, outcome.error_bound["metrics/loss"]
    assert abs(mean - (0.25 + 0.5 + 0.5) / 3) <= bound <= 0.0001  # whatever they weigh
    assert (outcome.reporting, outcome.abstained, outcome.weight) == ({"loss": 3}, 0, 19)
    assert (logging.WARNING, "secure aggregation: metric 'loss' is of 3 of 4 clinics") in federation.said


def test_a_metric_that_nobody_has_is_none():
    federation = Federation()
    federation.trains = dict.fromkeys(NAMES, trained(loss=np.nan))
    outcome, current = federation.round()
    assert current.metrics() == {}
    assert (outcome.reporting, outcome.error_bound.keys()) == ({"loss": 0}, {"w", "n"})


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize(
    "change", [{"weighted_by": "epochs"}, {"metrics": {"loss": 2.0}}, {"metrics": {}}, {"model": bytes(32)}]
)
def test_terms_that_another_client_has_not_got_are_not_trained_by(change, lasting):
    """Whose weight is another metric, or whose metrics are others, stands out in the sum."""
    party, first = held_at("keys", lasting=lasting)
    terms = structs.replace(Invitation.from_bytes(first.terms), **change)
    party.answer(structs.replace(first, terms=terms.to_bytes()))
    with pytest.raises(InconsistentModel):
        party.client.check(digest_of(ARRAYS), ARRAYS)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_refusal_is_final_and_stray_bytes_are_not(lasting):
    party, ask = held_at("masked", lasting=lasting)
    with pytest.raises(WireError):
        party.answer(Ask("shares", b"no frame at all"))
    party.answer(ask)
    keys = Federation(lasting).asked_of_a("keys").frame
    with pytest.raises(WireError, match="a late copy"):
        party.answer(Ask("keys", keys))
    party.answer(ask)
    found = frame.unwrap(keys)
    other = frame.wrap(found.direction, found.phase, found.party, found.tag, b"another ask here", found.body)
    with pytest.raises(PeerMisbehaved):
        party.answer(Ask("keys", other))
    with pytest.raises(StateError, match="in no round"):
        party.answer(ask)


@pytest.mark.parametrize("lasting", [False, True])
def test_nobody_trains_for_a_malformed_ask_nor_twice_for_one(lasting):
    """The first has it leave the round; an ask that was answered gets the same bytes."""
    times = []

    def train():
        times.append(1)
        return trained()()

    party, ask = held_at("masked", lasting=lasting)
    malformed = structs.replace(ask, frame=rewritten(ask.frame, AskMasked, hashes=b""))
    for error in (WireError, StateError):
        with pytest.raises(error):
            party.answer(malformed, train=train)
    with pytest.raises(StateError, match="in no round"):
        party.answer(ask, train=train)
    assert times == []
    party, ask = held_at("masked", lasting=lasting)
    assert party.answer(ask, train=train) == party.answer(ask, train=train)
    assert times == [1]


def test_what_a_client_does_not_allow():
    party, ask = held_at("keys")
    for limits, error, match in (
        (Limits(Policy(min_cohort=5), party.limits.schemes), PolicyRefused, "a sum over 4 parties"),
        (Limits(Policy(), AllowedSchemes(frozenset(), None, False)), PolicyRefused, "this client allows"),
        (Limits(Policy(), AllowedSchemes(frozenset({"secagg"}), None, True)), PolicyRefused, "active mode only"),
    ):
        party.limits = limits
        with pytest.raises(error, match=match):
            party.answer(ask)
        assert party.memory.records == {}


def test_a_phase_that_the_scheme_does_not_have():
    party, ask = held_at("shares")
    with pytest.raises(WireError, match="an ask of phase 'unmusk', expected 'shares'"):
        party.answer(Ask("unmusk", ask.frame))


@pytest.mark.parametrize(("phase", "name"), [("masked", "shares"), ("masked", "unmask"), ("shares", "masked")])
def test_a_phase_by_another_name_than_its_frames_trains_nobody(phase, name):
    """In its own name the ask is answered all the same."""
    party, ask = held_at(phase)
    with pytest.raises(WireError, match=f"an ask of phase {name!r}, expected {phase!r}, whose frame it has"):
        party.answer(structs.replace(ask, phase=name), train=pytest.fail)
    assert party.answer(ask).frame is not None


def test_what_was_prepared_for_another_round_is_forgotten():
    party, ask = held_at("keys")
    terms = ask.terms
    party.answer(Ask(PREPARE, b"", terms, None, Ahead("00" * 16, 5, 4)))
    assert set(party.memory.records) == {SavedKeys.NAME}
    assert party.answer(ask).frame is not None
    assert set(party.memory.records) == {SavedRound.NAME}


def test_a_request_has_to_name_a_round_and_a_scheme_that_is_allowed():
    party, ask = held_at("keys")
    ahead = Ahead("00" * 16, 5, 4)
    for request in (Ask(PREPARE, b"", ask.terms), Ask(PREPARE, b"", None, None, ahead)):
        with pytest.raises(WireError, match="a request to prepare a round that it does not name"):
            party.answer(request)
    party.limits = Limits(Policy(), AllowedSchemes(frozenset({"secagg+"}), None, False))
    with pytest.raises(PolicyRefused, match="this client allows"):
        party.answer(Ask(PREPARE, b"", ask.terms, None, ahead))
    assert party.memory.records == {}


@pytest.mark.parametrize("lasting", [False, True])
def test_a_new_round_ends_the_one_before_even_where_it_is_refused(lasting):
    party, _ = held_at("masked", lasting=lasting)
    _, first = held_at("keys", lasting=lasting, seed="another")
    party.limits = Limits(Policy(min_cohort=5), party.limits.schemes)
    with pytest.raises(PolicyRefused):
        party.answer(first)
    assert party.memory.records == {}


@pytest.mark.parametrize("lasting", [False, True])
def test_a_new_round_that_makes_no_sense_ends_the_one_before_too(lasting):
    """No refusal by policy, so nothing else would make the client forget its secrets."""
    party, _ = held_at("masked", lasting=lasting)
    _, first = held_at("keys", lasting=lasting, seed="another")
    with pytest.raises(WireError):
        party.answer(structs.replace(first, terms=b"{}"))
    assert party.memory.records == {}
    assert party.client._part is None


@pytest.mark.parametrize("lasting", [False, True])
def test_a_refused_answer_ends_the_round_whoever_asks_for_it(lasting):
    """An adapter that does not say `leaving` itself."""
    party, ask = held_at("unmask", lasting=lasting)
    without_a = rewritten(ask.frame, AskUnmask, contributors=pack_bits([False, True, True, True]))
    with pytest.raises(PeerMisbehaved, match="leaves this party's vector out"):
        party.client.answer(structs.replace(ask, frame=without_a))
    assert party.memory.records == {}
    assert party.client._part is None


@pytest.mark.parametrize(
    "damage", [{"state": b"no"}, {"terms": b"{}"}, {"key": bytes(32)}, {"key": b"short"}, {"parties": "3"}]
)
def test_a_damaged_memory_is_no_round_and_stops_no_new_one(damage):
    party, ask = held_at("masked")
    key, record = party.memory.records[SavedRound.NAME]
    changed = msgspec.msgpack.encode({**msgspec.msgpack.decode(record), **damage, "key": b""})
    party.memory.records[SavedRound.NAME] = damage.get("key", key), changed
    with pytest.raises((StateError, ConfigError)):
        party.answer(ask)
    _, first = held_at("keys", seed="another")
    assert party.answer(first).frame is not None


@pytest.mark.parametrize("lasting", [False, True])
def test_the_end_of_the_run_leaves_nothing(lasting):
    party, ask = held_at("unmask", lasting=lasting)
    party.answer(Ask(ask.phase, ask.frame, None, None, Ahead("00" * 16, 5, 4)))
    assert set(party.memory.records) == ({SavedKeys.NAME} if lasting else set())
    assert lasting or party.client._prepared is not None
    party.client.end()
    assert party.memory.records == {}
    assert party.client._prepared is None


def test_against_a_lying_server_a_client_enters_a_round_once():
    """Its memory is put back to before the round: what it has entered is not among it."""
    party, ask = held_at("keys", active=True)
    party.answer(ask)
    party.memory.records.clear()
    with pytest.raises(PolicyRefused, match="round 0 of a run in which this party has entered round 0"):
        party.answer(ask)


def test_no_record_prints_its_secrets():
    for record in (SavedRound(b"KEY" * 11, b"{}", 3, b"STATE"), SavedKeys(b"KEY" * 11, b"STATE")):
        assert "KEY" not in repr(record)
        assert "STATE" not in repr(record)


def test_the_digest_tells_trees_apart():
    trees = [
        ((),),
        ("a", "b"),
        (("a", "b"),),
        ("ab",),
        (b"ab",),
        (1,),
        (True,),
        (1.0,),
        ("1",),
        (None,),
        ({"a": 1, "b": 2},),
        ({"a": 1}, {"b": 2}),
        ({"a": {"b": 2}},),
        (np.zeros(4),),
        (np.zeros((2, 2)),),
        (np.zeros(4, np.int64),),
        (bytes(32),),
    ]
    digests = [digest_of(*tree) for tree in trees]
    assert len(set(digests)) == len(trees)
    assert {len(digest) for digest in digests} == {32}
    assert digest_of({"a": (1, np.int64(3)), "b": np.float32(2)}) == digest_of({"a": [1, 3], "b": 2.0})


def test_a_digest_is_of_things_in_the_order_in_which_they_come():
    """Of a model that is read by place, another order is another model; see `sorted_by_key` where none is kept."""
    one, other = {"a": np.ones(2), "b": np.zeros(2)}, {"b": np.zeros(2), "a": np.ones(2)}
    assert one.keys() == other.keys()
    assert digest_of(one) != digest_of(other)
    assert digest_of({"config": {"x": 1, "y": 2}}) != digest_of({"config": {"y": 2, "x": 1}})
    assert digest_of(sorted_by_key({"y": 2, "x": 1})) == digest_of({"x": 1, "y": 2})


def test_a_digest_is_of_all_bits_of_a_number():
    quiet, other = (struct.unpack("<d", bits.to_bytes(8, "little"))[0] for bits in (0x7FF8 << 48, (0x7FF8 << 48) + 1))
    assert len({digest_of(value) for value in (quiet, other, 0.0, -0.0)}) == 4


@pytest.mark.parametrize(
    "odd",
    [object(), np.array([object()]), np.zeros(2, [("a", "i4")]), np.longdouble(1), np.datetime64(1, "s"), {1, 2}],
    ids=["object", "objects", "fields", "longdouble", "date", "set"],
)
def test_what_has_no_bytes_of_its_own_stands_beside_no_model(odd):
    with pytest.raises(ConfigError, match="beside the model"):
        digest_of({"f": odd})

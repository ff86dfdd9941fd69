"""Peers that lie: the culprit is dropped and named, and the round goes on; a holder opens nothing that it must not."""

from collections.abc import Callable
from typing import Any

import pytest
from smallkeys import BITS, assert_exact, keys_of, make_round, updates_of

from secagg.api import Coordinator, Participant, aggregate
from secagg.errors import (
    BadCohort,
    ConfigError,
    InconsistentModel,
    OutOfRange,
    PeerMisbehaved,
    PolicyRefused,
    TooFew,
    UnknownParty,
    WireError,
)
from secagg.primitives import paillier
from secagg.primitives.paillier import PublicKey
from secagg.scheme import Ledger, Policy, Seat, Session, Store
from secagg.testing import SeededEntropy, opened, rewritten
from secagg.wire import frame
from secagg.wire.packed import pack_set
from secagg_protocols import PROTOCOLS, PaillierKeys, PaillierSum
from secagg_protocols.paillier.messages import AskDecrypt, AskEncrypted, Deal, Decrypted, Encrypted, context_digest
from secagg_protocols.paillier.parameters import key_digest, read_private, write_private
from secagg_protocols.paillier.stages import Saved

N = 5
UPDATES = updates_of(N)
LIAR = 3
FRESH = "fresh"
SHARED = "shared"


def make(kind: str) -> PaillierSum:
    return PaillierSum(BITS) if kind == FRESH else PaillierSum(keys=keys_of((0, 1, LIAR), 2))


def lying(phase: str, change: Callable[[bytes], bytes], who: int = LIAR) -> Callable[..., bytes]:
    return lambda at, party, message: change(message) if (at, party) == (phase, who) else message


def at_phase(round_: Any, phase: str) -> Any:
    while round_.coordinator.phase != phase:
        round_.step()
    return round_


def key_of(round_: Any) -> PublicKey:
    coordinator = round_.coordinator
    return coordinator._stage.key.opening(coordinator._known).public


def ciphertexts_with(place: int, value: Callable[[PublicKey], int], round_: Any) -> Callable[[bytes], bytes]:
    """One ciphertext of the message changed."""

    def change(message: bytes) -> bytes:
        key = key_of(round_[0])
        data, size = opened(message, Encrypted).ciphertexts, key.ciphertext_size
        bad = value(key).to_bytes(size)
        return rewritten(message, Encrypted, ciphertexts=data[: place * size] + bad + data[(place + 1) * size :])

    return change


BAD_CIPHERTEXTS: dict[str, tuple[Callable[[PublicKey], int], str]] = {
    "zero": (lambda key: 0, "ciphertext 1 is no unit"),
    "n squared": (lambda key: key.n_squared, "ciphertext 1 is too large"),
    "all ones": (lambda key: 2 ** (8 * key.ciphertext_size) - 1, "ciphertext 1 is too large"),
    "n": (lambda key: key.n, "ciphertext 1 is no unit"),
    "a multiple of n": (lambda key: key.n * 12345, "ciphertext 1 is no unit"),
}


@pytest.mark.parametrize("kind", [FRESH, SHARED])
@pytest.mark.parametrize("bad", BAD_CIPHERTEXTS)
def test_a_number_that_is_no_ciphertext_costs_its_sender(kind, bad):
    value, why = BAD_CIPHERTEXTS[bad]
    it: list[Any] = []
    round_ = make_round(make(kind), UPDATES, replies=lying("encrypted", ciphertexts_with(1, value, it)))
    it.append(round_)
    out = round_.run()
    assert out.lost == {LIAR: "encrypted"}
    assert set(out.misbehaved) == {LIAR}
    assert why in out.misbehaved[LIAR]
    assert LIAR not in out.contributors
    assert_exact(out, UPDATES)


def test_a_multiple_of_a_factor_costs_the_holder_that_knows_it():
    """Only who has the factors can send one, a single holder; nobody else holds a key, so nothing opens."""
    keys = keys_of((LIAR,), 1)
    factor = keys.secret(LIAR).factors[0]
    it: list[Any] = []
    round_ = make_round(
        PaillierSum(keys=keys), UPDATES, replies=lying("encrypted", ciphertexts_with(1, lambda key: factor, it))
    )
    it.append(round_)
    with pytest.raises(TooFew, match="0 key holders are left"):
        round_.run()
    assert "no unit" in round_.coordinator.misbehaved[LIAR]


BAD_ENCRYPTED: dict[str, Callable[[Encrypted], dict[str, bytes | int]]] = {
    "none": lambda m: {"ciphertexts": b""},
    "cut": lambda m: {"ciphertexts": m.ciphertexts[:-1]},
    "one more": lambda m: {"ciphertexts": m.ciphertexts + m.ciphertexts[: BITS // 4]},
    "one less": lambda m: {"ciphertexts": m.ciphertexts[BITS // 4 :]},
    "another key": lambda m: {"key": bytes(32)},
    "no key": lambda m: {"key": b""},
    "another model": lambda m: {"context": context_digest(b"other")},
    "no model": lambda m: {"context": b""},
    "a least cohort of one": lambda m: {"least": 1},
    "a least cohort of more than any session": lambda m: {"least": 2**20 + 1},
    "a least cohort of more than the session": lambda m: {"least": N + 1},
}


@pytest.mark.parametrize("kind", [FRESH, SHARED])
@pytest.mark.parametrize("bad", BAD_ENCRYPTED)
def test_a_reply_that_does_not_fit_costs_its_sender(kind, bad):
    def change(message: bytes) -> bytes:
        return rewritten(message, Encrypted, **BAD_ENCRYPTED[bad](opened(message, Encrypted)))

    out = make_round(make(kind), UPDATES, replies=lying("encrypted", change)).run()
    assert out.lost == {LIAR: "encrypted"}
    assert set(out.misbehaved) == {LIAR}
    assert_exact(out, UPDATES)


def test_a_client_with_another_key_is_dropped():
    """It was given other keys than the rest: what it encrypts is noise under this one."""
    other = PaillierKeys.generate([0, 1, LIAR], 2, BITS, SeededEntropy(77))
    round_ = make_round(make(SHARED), UPDATES)
    public = other.opening.public
    plaintexts = [0] * key_count(round_)
    theirs = public.write_ciphertexts(public.encrypt(plaintexts, SeededEntropy(1)))
    reply = Encrypted(context_digest(b""), key_digest(public), theirs, 3)
    round_ = make_round(
        make(SHARED),
        UPDATES,
        replies=lying("encrypted", lambda m: rewritten(m, Encrypted, key=reply.key, ciphertexts=reply.ciphertexts)),
    )
    out = round_.run()
    assert "encrypted under another key" in out.misbehaved[LIAR]
    assert_exact(out, UPDATES)


def key_count(round_: Any) -> int:
    return int(round_.scheme.parameters(round_.session).slots.plaintexts)


@pytest.mark.parametrize("bad", ["empty", "cut", "even", "short", "unit", "small"])
def test_a_key_that_is_none_costs_its_candidate_alone(bad):
    """Candidates are 0, 1 and 2: when 0's key is bad, 1's is taken."""
    size = BITS // 8

    def change(message: bytes) -> bytes:
        key = opened(message, Deal).key
        n, h = key[:size], key[size:]
        small = paillier.generate(BITS - 32, SeededEntropy(1)).public.to_bytes()
        wrong = {
            "empty": b"",
            "cut": key[:-1],
            "even": n[:-1] + b"\0" + h,
            "short": bytes(size) + h,
            "unit": n + n,
            "small": small,
        }
        return rewritten(message, Deal, key=wrong[bad])

    round_ = make_round(PaillierSum(BITS), UPDATES, replies=lying("deal", change, who=0))
    out = round_.run()
    assert set(out.misbehaved) == {0}
    assert out.lost == {0: "deal"}
    assert out.contributors == frozenset(range(N))
    assert round_.sent["decrypt", 1]
    assert_exact(out, UPDATES)


BAD_DECRYPTED: dict[str, Callable[[Decrypted], dict[str, bytes]]] = {
    "none": lambda m: {"values": b""},
    "cut": lambda m: {"values": m.values[:-1]},
    "zeros": lambda m: {"values": bytes(len(m.values))},
    "too large": lambda m: {"values": b"\xff" * len(m.values)},
    "one bit": lambda m: {"values": m.values[:-1] + bytes([m.values[-1] ^ 1])},
    "swapped": lambda m: {"values": m.values[len(m.values) // 2 :] + m.values[: len(m.values) // 2]},
    "no proof": lambda m: {"proof": b""},
    "zero proof": lambda m: {"proof": bytes(len(m.proof))},
    "another proof": lambda m: {"proof": m.proof[:-1] + bytes([m.proof[-1] ^ 1])},
}


@pytest.mark.parametrize("bad", BAD_DECRYPTED)
def test_a_wrong_partial_decryption_names_its_holder_and_the_others_open(bad):
    def change(message: bytes) -> bytes:
        return rewritten(message, Decrypted, **BAD_DECRYPTED[bad](opened(message, Decrypted)))

    out = make_round(make(SHARED), UPDATES, replies=lying("decrypt", change)).run()
    assert out.lost == {LIAR: "decrypt"}
    assert set(out.misbehaved) == {LIAR}
    assert out.contributors == frozenset(UPDATES)
    assert_exact(out, UPDATES)


@pytest.mark.parametrize("bad", BAD_DECRYPTED)
def test_a_single_holder_that_lies_ends_the_round_and_is_named(bad):
    def change(message: bytes) -> bytes:
        return rewritten(message, Decrypted, **BAD_DECRYPTED[bad](opened(message, Decrypted)))

    round_ = make_round(PaillierSum(BITS), UPDATES, replies=lying("decrypt", change, who=0))
    with pytest.raises(TooFew, match="0 key holders answered, 1 needed"):
        round_.run()
    assert set(round_.coordinator.misbehaved) == {0}


@pytest.mark.parametrize("kind", [FRESH, SHARED])
def test_a_decryption_of_other_ciphertexts_names_its_holder(kind):
    """An honest answer, with an honest proof, to another question: one client's ciphertexts."""
    who = 0 if kind == FRESH else LIAR
    first: dict[str, bytes] = {}

    def replies(phase: str, party: int, message: bytes) -> bytes:
        if phase == "encrypted":
            first.setdefault("ciphertexts", opened(message, Encrypted).ciphertexts)
        return message

    def asks(phase: str, party: int, message: bytes) -> bytes:
        if (phase, party) != ("decrypt", who):
            return message
        return rewritten(message, AskDecrypt, ciphertexts=first["ciphertexts"])

    round_ = make_round(make(kind), UPDATES, asks=asks, replies=replies)
    at_phase(round_, "decrypt")
    # Its reply carries the checksum of the ask that it saw: the engine alone would find that, so mend it.
    true = frame.checksum_of(round_.coordinator.asks()[who])
    round_._replies = lambda phase, party, message: mended(message, true) if party == who else message
    round_.exchange()
    assert "proof" in round_.coordinator.misbehaved[who]
    if kind == SHARED:
        round_.coordinator.close_phase()
        assert_exact(round_.coordinator.result, UPDATES)


def mended(message: bytes, answers: bytes) -> bytes:
    old = frame.unwrap(message)
    return frame.wrap(old.direction, old.phase, old.party, old.tag, answers, old.body)


def test_partials_beyond_the_threshold_are_checked_too():
    scheme = PaillierSum(keys=keys_of((0, 1, 2, LIAR), 2))
    change = lambda m: rewritten(m, Decrypted, proof=bytes(len(opened(m, Decrypted).proof)))  # noqa: E731
    out = make_round(scheme, UPDATES, replies=lying("decrypt", change)).run()
    assert set(out.misbehaved) == {LIAR}
    assert_exact(out, UPDATES)


def test_plaintexts_that_leave_their_slots_end_the_round():
    """A client encrypts a number as large as plaintexts get: the sum is no packed vector, and nobody can say whose."""
    it: list[Any] = []

    def change(message: bytes) -> bytes:
        key = key_of(it[0])
        huge = key.encrypt([key.n // 2] * key_count(it[0]), SeededEntropy(1))
        return rewritten(message, Encrypted, ciphertexts=key.write_ciphertexts(huge))

    round_ = make_round(make(SHARED), UPDATES, replies=lying("encrypted", change))
    it.append(round_)
    with pytest.raises(PeerMisbehaved, match="leaves its slots") as error:
        round_.run()
    assert not error.value.culprits
    assert round_.coordinator.result is None


BAD_PROOFS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "none": (lambda proof: b"", "expected 9 of 32"),
    "cut": (lambda proof: proof[:-1], "expected 9 of 32"),
    "one more": (lambda proof: proof + proof[:32], "expected 9 of 32"),
    "zero": (lambda proof: bytes(32) + proof[32:], "key 0 is no unit"),
    "all ones": (lambda proof: proof[:32] + b"\xff" * 32 + proof[64:], "key 1 is too large"),
    "one wrong": (lambda proof: proof[:-1] + bytes([proof[-1] ^ 1]), "proof of the key fails"),
    "another order": (lambda proof: proof[32:] + proof[:32], "proof of the key fails"),
}


@pytest.mark.parametrize("bad", BAD_PROOFS)
def test_a_key_without_its_proof_costs_its_candidate_alone(bad):
    wrong, why = BAD_PROOFS[bad]
    change = lambda m: rewritten(m, Deal, proof=wrong(opened(m, Deal).proof))  # noqa: E731
    round_ = make_round(PaillierSum(BITS), UPDATES, replies=lying("deal", change, who=0))
    out = round_.run()
    assert out.lost == {0: "deal"}
    assert why in out.misbehaved[0]
    assert_exact(out, UPDATES)


def test_a_key_of_another_session_or_candidate_is_not_proved():
    """Its proof is bound to both."""
    before = make_round(PaillierSum(BITS), UPDATES)
    before.exchange()
    round_ = make_round(PaillierSum(BITS), UPDATES)
    round_.exchange()
    stage, known = round_.coordinator._stage, round_.coordinator._known
    theirs, mine = opened(before.sent["deal", 0], Deal), opened(round_.sent["deal", 0], Deal)
    for candidate, deal in ((0, theirs), (1, mine)):
        with pytest.raises(PeerMisbehaved, match="proof of the key fails"):
            stage.absorb(known, candidate, deal)
    stage.absorb(known, 0, mine)


@pytest.mark.parametrize("kind", [FRESH, SHARED])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clients_own_minimum_holds_where_it_holds_no_key(kind, restart):
    """0 and 1 hold the key and would open a sum of two or three; 4 asks for all five."""
    asked: list[str] = []
    options = {"policy": Policy(min_cohort=2), "asks": lambda at, _party, m: asked.append(at) or m, "restart": restart}
    round_ = make_round(make(kind), UPDATES, lost={2: "encrypted", LIAR: "encrypted"}, **options)
    round_.participants[4] = Participant(round_.scheme, round_.session, 4, Policy(min_cohort=N))
    why = f"3 clients encrypted, {N} needed .Policy.min_cohort: party 4 asks for {N}.; no sum was opened"
    with pytest.raises(TooFew, match=why) as error:
        round_.run()
    assert (error.value.phase, error.value.answered, error.value.needed) == ("encrypted", 3, N)
    assert error.value.culprits == {4}
    assert round_.coordinator.result is None
    assert "decrypt" not in asked


@pytest.mark.parametrize("kind", [FRESH, SHARED])
@pytest.mark.parametrize("least", [2, 3])
def test_the_least_cohort_is_inclusive_and_that_of_who_contributes(kind, least):
    """Whoever encrypts nothing asks for nothing."""
    lost = {2: "encrypted", LIAR: "encrypted"}
    round_ = make_round(make(kind), UPDATES, lost=lost, policy=Policy(min_cohort=2))
    round_.participants[2] = Participant(round_.scheme, round_.session, 2, Policy(min_cohort=N))
    round_.participants[4] = Participant(round_.scheme, round_.session, 4, Policy(min_cohort=least))
    out = round_.run()
    assert out.contributors == {0, 1, 4}
    assert_exact(out, UPDATES)


class TestWhatHoldersRefuse:
    def refusals(self, change, kind=SHARED, **options):
        round_ = make_round(
            make(kind), UPDATES, asks=lambda at, party, m: change(m) if at == "decrypt" else m, **options
        )
        with pytest.raises(TooFew, match="key holders answered"):
            round_.run()
        assert set(round_.refusals) == ({0} if kind == FRESH else {0, 1, LIAR})
        assert not any(phase == "decrypt" for phase, _ in round_.sent)
        return list(round_.refusals.values())

    @pytest.mark.parametrize("kind", [FRESH, SHARED])
    def test_a_cohort_under_their_policy(self, kind):
        two = pack_set([0, 1], N)
        for error in self.refusals(lambda m: rewritten(m, AskDecrypt, contributors=two), kind):
            assert isinstance(error, PolicyRefused | PeerMisbehaved)  # the third holder is left out besides

    def test_a_sum_without_their_own_vector(self):
        others = pack_set([2, 4], N)
        for error in self.refusals(lambda m: rewritten(m, AskDecrypt, contributors=others)):
            assert isinstance(error, PeerMisbehaved)
            assert "leaves this party's vector out" in str(error)
            assert not error.culprits

    @pytest.mark.parametrize("kind", [FRESH, SHARED])
    def test_contributors_with_another_model(self, kind):
        for error in self.refusals(lambda m: rewritten(m, AskDecrypt, context=context_digest(b"b")), kind):
            assert isinstance(error, InconsistentModel)

    @pytest.mark.parametrize("kind", [FRESH, SHARED])
    def test_numbers_that_are_no_ciphertexts(self, kind):
        for data in (b"", bytes(64 * 2), b"\xff" * 64 * 2, bytes(63)):
            for error in self.refusals(lambda m, data=data: rewritten(m, AskDecrypt, ciphertexts=data), kind):
                assert isinstance(error, WireError)

    def test_a_set_of_another_size_or_with_padding(self):
        for data in (b"", b"\x1f\0", b"\xff"):
            for error in self.refusals(lambda m, data=data: rewritten(m, AskDecrypt, contributors=data)):
                assert isinstance(error, WireError)

    def test_a_helper_counts_as_no_contributor(self):
        scheme = PaillierSum(keys=keys_of((0, "auditor"), 2), helpers=["auditor"])
        all_six = pack_set(range(N + 1), N + 1)
        round_ = make_round(
            scheme,
            UPDATES,
            asks=lambda at, p, m: rewritten(m, AskDecrypt, contributors=all_six) if at == "decrypt" else m,
        )
        with pytest.raises(TooFew):
            round_.run()
        assert all("gives no input" in str(error) for error in round_.refusals.values())
        assert set(round_.refusals) == {0, "auditor"}

    def test_a_second_cohort_under_one_context(self):
        ledger = Ledger()
        scheme = make(SHARED)
        round_ = make_round(scheme, UPDATES, context=b"model 1")
        ledger.add(b"model 1", round_.session.encoding.digest, frozenset({0, 1, 2}))
        holder = Participant(scheme, round_.session, Seat(0, context=b"model 1", store=Store(ledger)))
        holder.answer(round_.coordinator.asks()[0], UPDATES[0])
        at_phase(round_, "decrypt")
        with pytest.raises(PolicyRefused, match="second sum of updates of the same model"):
            holder.answer(round_.coordinator.asks()[0])

    def test_what_was_opened_is_entered_in_the_ledger(self):
        ledger = Ledger()
        round_ = make_round(make(SHARED), UPDATES, context=b"model 1")
        seat = Seat(0, context=b"model 1", store=Store(ledger))
        holder = Participant(round_.scheme, round_.session, seat)
        holder.answer(round_.coordinator.asks()[0], UPDATES[0])
        at_phase(round_, "decrypt")
        seat.check_set(round_.session, frozenset({0, 1, 2}), gives_input=True)
        assert holder.answer(round_.coordinator.asks()[0])
        seat.check_set(round_.session, frozenset(UPDATES), gives_input=True)
        with pytest.raises(PolicyRefused):
            seat.check_set(round_.session, frozenset({0, 1, 2}), gives_input=True)

    def test_a_second_question(self):
        round_ = at_phase(make_round(make(SHARED), UPDATES), "decrypt")
        asks = round_.coordinator.asks()
        round_.exchange()
        other = rewritten(asks[0], AskDecrypt, contributors=pack_set([0, 1, 2], N))
        assert round_.participants[0].answer(asks[0]) == round_.sent["decrypt", 0]
        with pytest.raises(PeerMisbehaved, match="a second, different ask"):
            round_.participants[0].answer(other)

    def test_an_ask_of_another_session(self):
        asked = at_phase(make_round(make(SHARED), UPDATES), "decrypt").coordinator.asks()[0]
        other = at_phase(make_round(make(SHARED), UPDATES), "decrypt")
        with pytest.raises(WireError, match="another session"):
            other.participants[0].answer(asked)

    def test_whoever_holds_no_key(self):
        round_ = at_phase(make_round(PaillierSum(BITS), UPDATES), "decrypt")
        (ask,) = round_.coordinator.asks().values()
        old = frame.unwrap(ask)
        for party in range(1, N):  # 1 and 2 dealt keys, which were not chosen
            theirs = frame.wrap(old.direction, old.phase, party, old.tag, old.answers, old.body)
            with pytest.raises(PeerMisbehaved, match="holds no key"):
                round_.participants[party].answer(theirs)


class TestWhatClientsRefuse:
    def refused(self, change, kind):
        round_ = make_round(make(kind), UPDATES, asks=lambda at, p, m: change(m) if (at, p) == ("encrypted", 2) else m)
        out = round_.run()
        assert set(round_.refusals) == {2}
        assert out.lost == {2: "encrypted"}
        assert_exact(out, UPDATES)
        return round_.refusals[2]

    def test_a_key_in_place_of_the_one_they_know(self):
        for changes in ({"key": paillier.generate(BITS, SeededEntropy(3)).public.to_bytes()}, {"holder": 0}):
            error = self.refused(lambda m, changes=changes: rewritten(m, AskEncrypted, **changes), SHARED)
            assert isinstance(error, PeerMisbehaved)
            assert "dealt in advance" in str(error)

    def test_a_key_that_is_none(self):
        for key in (b"", bytes(64), b"\xff" * 64, paillier.generate(BITS // 2, SeededEntropy(3)).public.to_bytes()):
            error = self.refused(lambda m, key=key: rewritten(m, AskEncrypted, key=key), FRESH)
            assert isinstance(error, WireError)

    @pytest.mark.parametrize("holder", [2, N, N + 1, -1])
    def test_another_holder_than_the_key_s(self, holder):
        """2 dealt a key itself, and knows that this is another; N and beyond are nobody."""
        error = self.refused(lambda m: rewritten(m, AskEncrypted, holder=holder), FRESH)
        assert isinstance(error, PeerMisbehaved)


class TestSecretsAreErased:
    def stages(self, scheme, **options):
        round_ = make_round(scheme, UPDATES, **options)
        while not round_.coordinator.done:
            round_.step()
            yield {i: p._machine.stage for i, p in round_.participants.items()}

    def test_of_fresh_keys_one_is_left_and_then_none(self):
        dealt, encrypted, done = self.stages(PaillierSum(BITS))
        assert [i for i, stage in dealt.items() if getattr(stage, "private", b"")] == [0, 1, 2]
        assert [i for i, stage in encrypted.items() if stage.private] == [0]
        assert not any(getattr(stage, "private", b"") for stage in done.values())

    def test_shares_are_in_no_state(self):
        keys = keys_of((0, 1, LIAR), 2)
        exponents = [keys.secret(i).exponent for i in keys.holders]
        round_ = make_round(PaillierSum(keys=keys), UPDATES)
        while True:
            saved = b"".join(p.state() for p in round_.participants.values()) + round_.coordinator.state()
            assert not any(e.to_bytes((e.bit_length() + 7) // 8) in saved for e in exponents)
            if round_.coordinator.done:
                break
            round_.step()

    def test_a_private_key_is_read_as_written(self):
        key = paillier.generate(BITS, SeededEntropy(5))
        data = write_private(key)
        assert read_private(data).factors == key.factors
        for wrong in (b"", data[:-1], data + b"\0", bytes(len(data)), data[1:] + b"\1"):
            with pytest.raises(WireError):
                read_private(wrong)
        assert Saved.__struct_fields__ == ("stage",)


class TestOptions:
    def test_active_is_refused(self):
        for made in (lambda: PaillierSum(adversary="active"), lambda: PROTOCOLS["paillier"](5, adversary="active")):
            with pytest.raises(ConfigError, match="holders of a Paillier key open what the server hands them"):
                made()

    @pytest.mark.parametrize("bits", [126, 255, 8194, True, None, 256.0])
    def test_bits(self, bits):
        with pytest.raises(OutOfRange, match="key_bits"):
            PaillierSum(bits)

    def test_keys_of_another_kind(self):
        with pytest.raises(ConfigError, match="PaillierKeys"):
            PaillierSum(keys=b"keys")

    def test_helpers_hold_a_key(self):
        for scheme in (
            lambda: PaillierSum(BITS, helpers=[1]),
            lambda: PaillierSum(keys=keys_of((0, 1), 2), helpers=[7]),
        ):
            with pytest.raises(ConfigError, match="holds no key"):
                scheme()

    def test_helpers_are_parties_and_give_no_update(self):
        scheme = PaillierSum(keys=keys_of((0, "auditor"), 2), helpers=["auditor"])
        with pytest.raises(UnknownParty, match="auditor"):
            scheme.capacity(Session.create(range(3), UPDATES[0]))
        with pytest.raises(ConfigError, match="without giving one"):
            aggregate({**UPDATES, "auditor": UPDATES[0]}, scheme)

    def test_enough_holders_in_the_session(self):
        scheme = PaillierSum(keys=keys_of((0, 8, 9), 2))
        with pytest.raises(ConfigError, match="1 key holders are in this session, 2 needed"):
            scheme.capacity(Session.create(range(N), UPDATES[0]))

    def test_two_clients_and_more(self):
        scheme = PaillierSum(keys=keys_of(("a", "b"), 2), helpers=["a", "b"])
        with pytest.raises(BadCohort, match="1 clients"):
            scheme.capacity(Session.create(["a", "b", "c"], UPDATES[0]))
        with pytest.raises(BadCohort):
            PROTOCOLS["paillier"](1)

    def test_a_holder_needs_its_share(self):
        keys = keys_of((0, 1, LIAR), 2)
        session = Session.create(range(N), UPDATES[0])
        Participant(PaillierSum(keys=keys.public), session, 2)
        Participant(PaillierSum(keys=keys.share(0)), session, 0)
        with pytest.raises(ConfigError, match="party 0 holds a share of this key"):
            Participant(PaillierSum(keys=keys.share(1)), session, 0)

    def test_a_shared_key_meets_the_policy(self):
        keys = keys_of((0, 1, LIAR), 2)
        session = Session.create(range(N), UPDATES[0])
        with pytest.raises(PolicyRefused, match="2 shares open a secret"):
            Participant(PaillierSum(keys=keys), session, 0, Policy(min_threshold=3))
        with pytest.raises(PolicyRefused, match="2 shares open a secret"):  # nor a client that holds none
            Participant(PaillierSum(keys=keys.public), session, 2, Policy(min_threshold=3))
        Participant(PaillierSum(keys=keys.public), session, 2, Policy(min_threshold=2))

    def test_one_scheme_with_all_shares_or_with_none_is_the_same(self):
        keys = keys_of((0, 1, LIAR), 2)
        kinds = {PaillierSum(keys=each).fingerprint for each in (keys, keys.public, keys.share(1))}
        assert len(kinds) == 1
        others = PaillierSum(BITS), PaillierSum(BITS * 2), PaillierSum(keys=keys_of((0, 1, 2), 2))
        assert len({each.fingerprint for each in others} | kinds) == 4

    def test_what_it_says_of_itself(self):
        assert str(PaillierSum(BITS)) == "paillier-sum (256-bit key, one holder, passive)"
        assert str(PaillierSum(keys=keys_of((0, 1, 2), 2))) == "paillier-sum (256-bit key, 2 of 3 holders, passive)"
        assert "secrets=3" in repr(PaillierSum(keys=keys_of((0, 1, 2), 2)))


def test_each_from_its_own_keys():
    """As in the field: every process has the public keys, and a holder its own share."""
    keys, helpers = keys_of((0, 1, "auditor"), 2), ["auditor"]
    session = Session.create([*UPDATES, *helpers], UPDATES[0])
    server = Coordinator(PaillierSum(keys=keys.public, helpers=helpers), session)
    people = {
        i: Participant(
            PaillierSum(keys=keys.share(i) if i in keys.holders else keys.public, helpers=helpers), session, i
        )
        for i in session.parties
    }
    while not server.done:
        for i, ask in server.asks().items():
            server.receive(i, people[i].answer(ask, UPDATES.get(i)))
        server.close_phase()
    assert server.result.contributors == frozenset(UPDATES)
    assert_exact(server.result, UPDATES)


def test_a_helper_is_asked_for_no_vector():
    scheme = PaillierSum(keys=keys_of((0, "auditor"), 2), helpers=["auditor"])
    round_ = make_round(scheme, UPDATES)
    ask = frame.unwrap(round_.coordinator.asks()[0])
    assert "auditor" not in round_.coordinator.asks()
    theirs = frame.wrap(ask.direction, ask.phase, N, ask.tag, ask.answers, ask.body)
    with pytest.raises(PeerMisbehaved, match="ask of phase 'encrypted', expected None"):
        round_.participants["auditor"].answer(theirs)


def test_a_session_of_few_clients_and_many_helpers_is_under_the_policy():
    helpers = ["auditor", "notary"]
    scheme = PaillierSum(keys=keys_of(tuple(helpers), 2), helpers=helpers)
    with pytest.raises(PolicyRefused, match="sum over 2 parties"):
        aggregate({0: UPDATES[0], 1: UPDATES[1]}, scheme)

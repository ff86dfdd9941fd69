"""Bad bytes and lies in well-formed messages: the sender is dropped and named, the round goes on, and nothing that a
peer sent has reached SEAL unchecked.
"""

from collections.abc import Callable

import numpy as np
import pytest

from secagg.api import Coordinator, Participant
from secagg.errors import (
    InconsistentModel,
    PartyId,
    PeerMisbehaved,
    PolicyRefused,
    ProtocolError,
    TooFew,
    WireError,
)
from secagg.primitives import sealing
from secagg.primitives.ckks import DEGREE, Masks, Parameters, SecretKey
from secagg.scheme import Ledger, Policy, Seat, Session, Store
from secagg.testing import TestRound, opened, rewritten
from secagg.wire import codec
from secagg.wire.packed import pack_bits, rows
from secagg_protocols import CkksSum
from secagg_protocols.ckks import residues
from secagg_protocols.ckks.messages import (
    SEALED_SIZE,
    AskDeal,
    AskDecrypt,
    AskEncrypted,
    Deal,
    Decrypted,
    Encrypted,
    Keys,
)
from secagg_protocols.ckks.party import CkksParty
from secagg_protocols.ckks.stages import Finished, Saved

N = 5
UPDATES: dict[PartyId, np.ndarray] = {i: np.random.default_rng(i).integers(0, 2**16, 11, np.uint16) for i in range(N)}
LIAR = 2
VICTIM = 3
EVERYBODY = pack_bits([True] * N)

Change = Callable[[bytes], bytes]


DEALER = 0
"""Whom a session of this id asks first."""


def make_round(holders: int = 3, **options: object) -> TestRound:
    session = Session.create(range(N), UPDATES[0], context=b"round 4", entropy=bytes)
    return TestRound(CkksSum(holders), session, UPDATES, **options)  # type: ignore[arg-type]


def lying(phase: str, change: Change, who: int) -> Callable[[str, PartyId, bytes], bytes]:
    return lambda at, party, message: change(message) if (at, party) == (phase, who) else message


def cautious(round_: TestRound, least: int = N) -> TestRound:
    """The victim's own policy asks for more contributors than the others' does."""
    round_.participants[VICTIM] = Participant(round_.scheme, round_.session, VICTIM, Policy(min_cohort=least))
    return round_


def changing(kind: type, **changes: object) -> Change:
    """Fields replaced; a function is applied to what stands there."""

    def change(message: bytes) -> bytes:
        old = opened(message, kind)
        new = {name: value(getattr(old, name)) if callable(value) else value for name, value in changes.items()}
        return rewritten(message, kind, **new)

    return change


def assert_exact_without(round_: TestRound, party: int, phase: str) -> None:
    out = round_.run()
    assert out.lost == {party: phase}
    assert out.contributors == set(range(N)) - {party}
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in out.contributors))


def blob_of(message: bytes, parameters: Parameters) -> bytes:
    """A sound ciphertext of other parameters."""
    body, seeds = SecretKey(bytes(32), parameters).encrypt(np.zeros(12, np.uint16))
    return rewritten(message, Encrypted, body=residues.pack(body, parameters), seeds=seeds)


BLOBS: dict[str, tuple[Change, str]] = {
    "too short": (changing(Encrypted, body=lambda b: b[:-1]), "ciphertexts: packed vector of"),
    "too long": (changing(Encrypted, body=lambda b: b + b"\0"), "ciphertexts: packed vector of"),
    "nothing": (changing(Encrypted, body=b""), "ciphertexts: packed vector of 0 bytes"),
    "coefficients not below the modulus": (changing(Encrypted, body=lambda b: b"\xff" * 8 + b[8:]), "not below"),
    "set padding": (changing(Encrypted, body=lambda b: b[:-1] + bytes([b[-1] | 0x80])), "set bits after its last"),
    "too few seeds": (changing(Encrypted, seeds=b""), "seeds of 0 bytes: expected 64"),
    "too many seeds": (changing(Encrypted, seeds=lambda s: s * 2), "seeds of 128 bytes: expected 64"),
    "shorter parameters": (lambda m: blob_of(m, Parameters.holding(2, 4)), "ciphertexts: packed vector of"),
    "longer parameters": (lambda m: blob_of(m, Parameters.holding(1000, 42)), "ciphertexts: packed vector of"),
}


@pytest.mark.parametrize(("change", "why"), BLOBS.values(), ids=BLOBS)
def test_a_bad_ciphertext_costs_its_sender_and_never_reaches_seal(
    change: Change, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[bytes] = []
    add = Masks.add
    monkeypatch.setattr(Masks, "add", lambda masks, seeds: reached.append(seeds) or add(masks, seeds))  # type: ignore[func-returns-value]
    round_ = make_round(replies=lying("encrypted", change, LIAR))
    assert_exact_without(round_, LIAR, "encrypted")
    assert why in round_.coordinator.misbehaved[LIAR]
    assert len(reached) == N - 1


def test_seeds_and_coefficients_of_noise_are_a_sum_like_any_other() -> None:
    """A client can spoil the sum, as it can by its update, and no more: the round ends, by counts out of range."""
    change = changing(Encrypted, seeds=bytes(64), body=lambda b: bytes(len(b)))
    round_ = make_round(replies=lying("encrypted", change, LIAR))
    with pytest.raises(PeerMisbehaved, match="some weight or count was out of range"):
        round_.run()
    assert not round_.coordinator.misbehaved


LOW_ORDER = [bytes(32), bytes([1]) + bytes(31), bytes([0xEC]) + bytes([0xFF] * 30) + bytes([0x7F])]


@pytest.mark.parametrize("key", LOW_ORDER)
def test_a_low_order_key_costs_its_sender(key: bytes) -> None:
    round_ = make_round(replies=lying("keys", changing(Keys, key=key), LIAR))
    assert_exact_without(round_, LIAR, "keys")
    assert "low order" in round_.coordinator.misbehaved[LIAR]


def test_a_short_key_costs_its_sender() -> None:
    round_ = make_round(replies=lying("keys", changing(Keys, key=b"short"), LIAR))
    assert_exact_without(round_, LIAR, "keys")
    assert "public key of 5 bytes" in round_.coordinator.misbehaved[LIAR]


def test_a_copied_key_costs_the_copier() -> None:
    round_ = make_round()

    def copy(phase: str, party: PartyId, message: bytes) -> bytes:
        if (phase, party) != ("keys", VICTIM):
            return message
        return rewritten(message, Keys, key=opened(round_.sent["keys", 0], Keys).key)

    round_._replies = copy
    assert_exact_without(round_, VICTIM, "keys")
    assert "advertised before" in round_.coordinator.misbehaved[VICTIM]


def test_another_model_costs_its_sender_and_names_both_digests() -> None:
    round_ = make_round(replies=lying("keys", changing(Keys, context=b"\x01" * 32), LIAR))
    assert_exact_without(round_, LIAR, "keys")
    assert "another model, round or configuration: digest 0101010101010101" in round_.coordinator.misbehaved[LIAR]


@pytest.mark.parametrize(
    "change", [changing(Deal, sealed=lambda s: s[:-1]), changing(Deal, commitment=b""), lambda m: b"garbage"]
)
def test_a_bad_deal_costs_its_sender_and_another_one_counts(change: Change) -> None:
    """A dealer whose deal was bad stays in the round as a client: its place was not a client's."""
    bad: set[PartyId] = set()

    def first(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase == "deal" and not bad:
            bad.add(party)
            return change(message)
        return message

    round_ = make_round(replies=first)
    out = round_.run()
    assert set(out.misbehaved) == bad
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in out.contributors))


def test_a_dealer_that_deals_two_keys_is_named_by_whom_it_cheats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed in one box, properly sealed: without the commitment the sum would be noise."""
    seal = sealing.seal
    monkeypatch.setattr(
        sealing,
        "seal",
        lambda key, plain, data: seal(key, bytes(32) if data.endswith(bytes([VICTIM, 0, 0, 0])) else plain, data),
    )
    round_ = make_round()
    out = round_.run()
    assert not round_.refusals
    assert opened(round_.sent["encrypted", VICTIM], Encrypted) == KEYLESS
    assert out.contributors == set(range(N)) - {VICTIM}
    assert not out.lost
    assert not out.misbehaved
    assert out.accused == {DEALER: f"phase 'encrypted': {CLAIM} 1 of those it was dealt to"}
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in out.contributors))
    assert stage_of(round_, VICTIM) == Finished()


KEYLESS = Encrypted(b"", b"")
CLAIM = "the key that it dealt does not open, say"


def garbage_for(*cheated: int) -> Callable[[str, PartyId, bytes], bytes]:
    """The dealer's boxes for these are no ciphertexts."""

    def change(message: bytes) -> bytes:
        boxes = rows(opened(message, Deal).sealed, SEALED_SIZE, N, "boxes")
        return rewritten(message, Deal, sealed=b"".join(bytes(48) if i in cheated else b for i, b in enumerate(boxes)))

    return lying("deal", change, DEALER)


@pytest.mark.parametrize("restart", [False, True])
def test_a_dealer_of_garbage_is_accused_and_the_error_says_so(restart: bool) -> None:
    """Nobody honest is lost: all say what they were dealt."""
    round_ = make_round(replies=garbage_for(*range(1, N)), restart=restart)
    why = rf"'encrypted': 1 parties sent ciphertexts .of party {DEALER}: {CLAIM} 4 of those it was dealt to., 3 needed"
    with pytest.raises(TooFew, match=why) as error:
        round_.run()
    assert not error.value.culprits  # a claim, though of many
    assert round_.coordinator.accused == {DEALER: f"phase 'encrypted': {CLAIM} 4 of those it was dealt to"}
    assert not round_.coordinator.lost
    assert not round_.coordinator.misbehaved


def test_a_dealer_that_deals_garbage_to_the_other_holders_is_accused() -> None:
    round_ = make_round(replies=garbage_for(1, 2))
    with pytest.raises(TooFew, match=f"1 designated key holders sent ciphertexts .of party {DEALER}: {CLAIM} 2 of"):
        round_.run()
    assert set(round_.coordinator.accused) == {DEALER}


def test_who_is_lost_is_not_the_dealer_s_fault() -> None:
    """One client is cheated, three are lost: with the one there would still be too few."""
    round_ = make_round(replies=garbage_for(VICTIM), lost={1: "encrypted", 2: "encrypted", 4: "encrypted"})
    with pytest.raises(TooFew, match=r"1 parties answered, 3 needed .Policy.min_cohort: party 0 asks for 3.;"):
        round_.run()
    assert set(round_.coordinator.accused) == {DEALER}


def test_a_client_that_accuses_an_honest_dealer_costs_itself_its_place() -> None:
    """A claim: the dealer stays in the sum."""
    out = make_round(replies=lying("encrypted", changing(Encrypted, body=b"", seeds=b""), LIAR)).run()
    assert out.contributors == set(range(N)) - {LIAR}
    assert set(out.accused) == {DEALER}
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in out.contributors))


@pytest.mark.parametrize(
    "change",
    [changing(Decrypted, vector=lambda v: v[:-1]), changing(Decrypted, vector=lambda v: v[:-1] + b"\xff")],
)
def test_a_bad_sum_costs_its_sender(change: Change) -> None:
    liar: list[PartyId] = []

    def first(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase == "decrypt" and not liar:
            liar.append(party)
            return change(message)
        return message

    round_ = make_round(replies=first)
    out = round_.run()
    assert set(out.misbehaved) == set(liar)
    np.testing.assert_array_equal(out.ring_sum, sum(update.astype(np.uint64) for update in UPDATES.values()))


@pytest.mark.parametrize(("holders", "named"), [(3, 1), (2, 2)])
def test_holders_that_disagree_end_the_round(holders: int, named: int) -> None:
    """Two against one: the one is named. One against one: both."""
    liar: list[PartyId] = []

    def first(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase == "decrypt" and not liar:
            liar.append(party)
            return rewritten(message, Decrypted, vector=bytes(len(opened(message, Decrypted).vector)))
        return message

    round_ = make_round(holders, replies=first)
    with pytest.raises(PeerMisbehaved, match=f"{holders} key holders opened 2 different sums") as error:
        round_.run()
    assert set(liar) <= error.value.culprits
    assert len(error.value.culprits) == named
    assert round_.coordinator.result is None


# What a server sends.


def shuffled(rows: bytes) -> bytes:
    return rows[32:] + rows[:32]


ASKS: dict[str, tuple[str, Change, type[Exception], str]] = {
    "another key in its name": ("deal", changing(AskDeal, keys=shuffled), PeerMisbehaved, "another key in this party"),
    "not itself": (
        "deal",
        changing(AskDeal, parties=pack_bits([False] * N), keys=b""),
        PeerMisbehaved,
        "another key in this party's name, or none",
    ),
    "no such set": ("deal", changing(AskDeal, parties=b""), WireError, "bit set of 0 bytes"),
    "set padding": ("deal", changing(AskDeal, parties=b"\xff"), WireError, "set padding bits"),
    "keys of another size": ("deal", changing(AskDeal, keys=lambda k: k[:-1]), WireError, "public keys of"),
    "another context": ("encrypted", changing(AskEncrypted, context=bytes(32)), InconsistentModel, "digest"),
    "a short context": ("encrypted", changing(AskEncrypted, context=b""), WireError, "context digest of 0"),
    "other parameters": ("encrypted", changing(AskEncrypted, parameters=bytes(32)), PeerMisbehaved, "other param"),
    "a dealer of no index": ("encrypted", changing(AskEncrypted, dealer=N), PeerMisbehaved, "no party of the session"),
    "a dealer below zero": ("encrypted", changing(AskEncrypted, dealer=-1), PeerMisbehaved, "no party of the session"),
    "a dealer's low key": ("encrypted", changing(AskEncrypted, key=bytes(32)), PeerMisbehaved, "the server relays a"),
    "a dealer's short key": ("encrypted", changing(AskEncrypted, key=b""), WireError, "dealer's public key"),
    "a short box": ("encrypted", changing(AskEncrypted, box=b""), WireError, "sealed key of 0"),
    "a short commitment": ("encrypted", changing(AskEncrypted, commitment=b""), WireError, "commitment of 0"),
    "without it": (
        "decrypt",
        changing(AskDecrypt, contributors=pack_bits([i != VICTIM for i in range(N)])),
        PeerMisbehaved,
        "leaves this party's vector out",
    ),
    "a small cohort": (
        "decrypt",
        changing(AskDecrypt, contributors=pack_bits([i in (0, VICTIM) for i in range(N)])),
        PolicyRefused,
        "sum over 2 parties",
    ),
    "a short sum": ("decrypt", changing(AskDecrypt, body=b""), WireError, "sum of ciphertexts"),
    "coefficients not below": (
        "decrypt",
        changing(AskDecrypt, body=lambda b: b"\xff" * 8 + b[8:]),
        WireError,
        "sum of",
    ),
    "short masks": ("decrypt", changing(AskDecrypt, masks=b""), WireError, "sum of uniform halves"),
    "masks not below": ("decrypt", changing(AskDecrypt, masks=lambda b: b"\xff" * len(b)), WireError, "uniform halves"),
}


@pytest.mark.parametrize(("phase", "change", "kind", "why"), ASKS.values(), ids=ASKS)
def test_a_lying_ask_is_refused_and_erases_the_key(
    phase: str, change: Change, kind: type[Exception], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[object] = []
    decrypt = SecretKey.decrypt
    monkeypatch.setattr(SecretKey, "decrypt", lambda *given: reached.append(given) or decrypt(*given))  # type: ignore[func-returns-value]
    round_ = make_round(holders=N, asks=lying(phase, change, VICTIM))
    while round_.coordinator.phase != phase:
        round_.step()
    round_.exchange()
    refusal = round_.refusals[VICTIM]
    assert isinstance(refusal, kind)
    assert why in str(refusal)
    assert (phase, VICTIM) not in round_.sent
    assert len(reached) == (N - 1 if phase == "decrypt" else 0)
    if isinstance(refusal, ProtocolError):
        assert round_.participants[VICTIM]._machine is None


OTHERS = {
    "another dealer": changing(AskEncrypted, dealer=lambda i: (i + 1) % N),
    "another key": changing(AskEncrypted, key=b"\x09" + bytes(31)),
    "another box": changing(AskEncrypted, box=bytes(48)),
    "another commitment": changing(AskEncrypted, commitment=bytes(32)),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_box_that_does_not_open_is_told_to_the_server_alone(change: Change) -> None:
    """The client cannot tell whether dealer or server made it so; it sends nothing of its update, and is done."""
    round_ = make_round(holders=N, asks=lying("encrypted", change, VICTIM))
    out = round_.run()
    assert opened(round_.sent["encrypted", VICTIM], Encrypted) == KEYLESS
    assert stage_of(round_, VICTIM) == Finished()
    assert out.contributors == set(range(N)) - {VICTIM}


def stage_of(round_: TestRound, party: int) -> object:
    machine = round_.participants[party]._machine
    assert isinstance(machine, CkksParty)
    return codec.decode(machine.save(), Saved).stage


def test_keys_of_fewer_than_the_policy_s_cohort_get_no_deal() -> None:
    """A dealer that is asked all the same, by a server that thinks it asks for less, refuses."""
    unheard = lying("keys", changing(Keys, least=2), DEALER)
    round_ = make_round(1, policy=Policy(min_cohort=N), lost={1: "keys"}, replies=unheard)
    with pytest.raises(TooFew, match="0 dealers answered, 1 needed; no sum"):
        round_.run()
    assert isinstance(round_.refusals[DEALER], PolicyRefused)
    assert round_.coordinator._round.lost[DEALER] == "deal"


@pytest.mark.parametrize("restart", [False, True])
def test_too_few_keys_for_everybody_s_policy_names_everybody(restart: bool) -> None:
    round_ = make_round(policy=Policy(min_cohort=N), lost={0: "keys"}, restart=restart)
    everybody = ", ".join(f"party {i} asks for {N}" for i in range(1, N))
    with pytest.raises(
        TooFew, match=f"'keys': 4 parties answered, 5 needed .Policy.min_cohort: {everybody}.;"
    ) as error:
        round_.run()
    assert error.value.culprits == {1, 2, 3, 4}
    assert not round_.refusals


def test_a_client_that_asks_for_more_than_there_are_is_no_dealer() -> None:
    """Where the one dealer that a round asks would refuse, the next one deals."""
    round_ = make_round(1, policy=Policy(min_cohort=2), lost={1: "keys", DEALER: "encrypted"})
    round_.participants[DEALER] = Participant(round_.scheme, round_.session, DEALER, Policy(min_cohort=N))
    out = round_.run()
    assert out.contributors == {2, 3, 4}
    assert not round_.refusals


@pytest.mark.parametrize("asked", [(1, "`int` >= 2"), (2**20 + 1, "`int` <= 1048576"), (N + 1, "6 in a session of 5")])
def test_a_least_cohort_that_no_policy_asks_for_costs_its_sender(asked: tuple[int, str]) -> None:
    least, why = asked
    round_ = make_round(replies=lying("keys", changing(Keys, least=least), LIAR))
    assert_exact_without(round_, LIAR, "keys")
    assert why in round_.coordinator.misbehaved[LIAR]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("other", sorted(set(range(N)) - {VICTIM}))
def test_a_clients_own_minimum_holds_without_the_key(other: int, restart: bool) -> None:
    """Only party 0 holds the key, and would open a sum of two; the victim asks for all five, and is named for it."""
    lost: dict[PartyId, str] = {i: "encrypted" for i in range(N) if i not in (other, VICTIM)}
    asked: list[tuple[str, PartyId]] = []
    watch = lambda phase, party, ask: asked.append((phase, party)) or ask  # noqa: E731
    round_ = cautious(make_round(1, policy=Policy(min_cohort=2), lost=lost, asks=watch, restart=restart))
    why = f"2 parties answered, {N} needed .Policy.min_cohort: party {VICTIM} asks for {N}.; no sum was opened"
    with pytest.raises(TooFew, match=why) as error:
        round_.run()
    assert (error.value.phase, error.value.answered, error.value.needed) == ("encrypted", 2, N)
    assert error.value.culprits == {VICTIM}
    assert round_.coordinator.result is None
    assert not [party for phase, party in asked if phase == "decrypt"]


@pytest.mark.parametrize("least", [2, 3, 4])
def test_the_least_cohort_is_inclusive_and_that_of_who_contributes(least: int) -> None:
    """Who asked for more and was lost itself does not count."""
    round_ = cautious(make_round(policy=Policy(min_cohort=2), lost={1: "encrypted"}), least)
    assert round_.run().contributors == {0, 2, 3, 4}
    round_ = cautious(make_round(policy=Policy(min_cohort=2), lost={1: "encrypted", VICTIM: "encrypted"}))
    assert round_.run().contributors == {0, 2, 4}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda keys: keys[:32] + keys[:32] + keys[64:], "the server relays one public key twice"),
        (lambda keys: keys[:32] + bytes(32) + keys[64:], "the server relays a public key of low order"),
    ],
)
def test_a_dealer_refuses_duplicate_and_low_order_keys(change: object, why: str) -> None:
    round_ = make_round(holders=1, asks=lying("deal", changing(AskDeal, keys=change), DEALER))
    with pytest.raises(TooFew, match="0 dealers answered"):
        round_.run()
    refusal = round_.refusals[DEALER]
    assert isinstance(refusal, PeerMisbehaved)
    assert why in str(refusal)
    assert not refusal.culprits


def test_who_was_not_named_a_holder_cannot_decrypt() -> None:
    """It has erased the key; and a holder that decrypted answers no second ask."""
    round_ = make_round(holders=1)
    while round_.coordinator.phase != "decrypt":
        round_.step()
    ((holder, ask),) = round_.coordinator.asks().items()
    assert holder == DEALER
    decrypt, message = CkksSum.phases[-1], opened(ask, AskDecrypt)
    for party in range(N):
        machine = round_.participants[party]._machine
        if party != holder:
            assert stage_of(round_, party) == Finished()
            with pytest.raises(PeerMisbehaved, match="did not name as a key holder"):
                machine.read(decrypt, message)
    assert round_.participants[holder].answer(ask, None) is not None
    assert stage_of(round_, int(holder)) == Finished()


def test_two_cohorts_of_one_context_that_differ_by_one_are_not_both_opened() -> None:
    """Their difference would be one client's update."""
    ledger = Ledger()
    round_ = make_round(holders=N)
    scheme, session = round_.scheme, round_.session
    ledger.add(b"round 4", session.encoding.digest, frozenset(range(N - 1)))
    round_.participants[VICTIM] = Participant(scheme, session, Seat(VICTIM, context=b"round 4", store=Store(ledger)))
    out = round_.run()
    refusal = round_.refusals[VICTIM]
    assert isinstance(refusal, PolicyRefused)
    assert "differs by 1" in str(refusal)
    assert ("decrypt", VICTIM) not in round_.sent
    assert out.lost == {VICTIM: "decrypt"}  # others hold the key, and have no ledger


def test_the_sum_of_uniform_halves_is_as_long_as_it_must_be() -> None:
    round_ = make_round()
    while round_.coordinator.phase != "decrypt":
        round_.step()
    ask = opened(next(iter(round_.coordinator.asks().values())), AskDecrypt)
    bits = CkksSum().parameters(round_.session).modulus_bits
    assert len(ask.masks) == DEGREE * bits // 8
    assert ask.contributors == EVERYBODY


def halves(round_: TestRound, phase: str) -> tuple[Coordinator, Coordinator]:
    """Two servers of a phase: party 0 and LIAR have answered the first, the others the second."""
    while round_.coordinator.phase != phase:
        round_.step()
    asks, state = round_.coordinator.asks(), round_.coordinator.state()
    one, other = (Coordinator.of_state(round_.scheme, state) for _ in range(2))
    for party, ask in asks.items():
        reply = round_.answer(phase, party, ask)
        assert reply is not None
        (one if party in (0, LIAR) else other).receive(party, reply)
    return one, other


def test_one_key_at_two_servers_is_refused() -> None:
    seen: list[bytes] = []

    def replies(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase == "keys" and party == LIAR:
            seen.append(opened(message, Keys).key)
        return rewritten(message, Keys, key=seen[0]) if phase == "keys" and party == VICTIM else message

    one, other = halves(make_round(replies=replies), "keys")
    with pytest.raises(PeerMisbehaved, match="advertised before, at another server") as caught:
        one.merge(other)
    assert caught.value.culprits == {LIAR, VICTIM}


def test_who_has_no_key_is_counted_at_both_servers() -> None:
    empty = (LIAR, VICTIM)

    def replies(phase: str, party: PartyId, message: bytes) -> bytes:
        is_empty = phase == "encrypted" and party in empty
        return rewritten(message, Encrypted, body=b"", seeds=b"") if is_empty else message

    round_ = make_round(replies=replies)
    one, other = halves(round_, "encrypted")
    one.merge(other)
    round_.coordinator = one
    one.close_phase()
    out = round_.run()
    assert out.contributors == set(range(N)) - {*empty}
    assert "say 2 of those" in out.accused[DEALER]

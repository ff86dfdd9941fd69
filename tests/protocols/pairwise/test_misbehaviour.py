"""Peers that lie in well-formed messages: the culprit is named, and nobody reveals what would open a mask."""

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
    StateError,
    TooFew,
    WireError,
)
from secagg.scheme import Policy, Seat, Session
from secagg.testing import TestRound, opened, rewritten
from secagg.wire import frame
from secagg.wire.packed import pack_bits, unpack_bits
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    KEY_SIZE,
    SEALED_SIZE,
    SHARE_SIZE,
    AskMasked,
    AskShares,
    AskUnmask,
    Keys,
    Masked,
    Shares,
    Unmask,
    pack_indices,
    unpack_indices,
)
from secagg_protocols.pairwise.party import PairwiseParty

N = 6
UPDATES: dict[PartyId, np.ndarray] = {i: np.random.default_rng(i).integers(0, 2**16, 11, np.uint16) for i in range(N)}
LIAR = 2
VICTIM = 3


def make_round(scheme: PairwiseMasking | None = None, **options: object) -> TestRound:
    session = Session.create(range(N), UPDATES[0])
    return TestRound(scheme or PairwiseMasking(), session, UPDATES, **options)  # type: ignore[arg-type]


def lying(phase: str, change: Callable[[bytes], bytes], who: int) -> Callable[[str, PartyId, bytes], bytes]:
    return lambda at, party, message: change(message) if (at, party) == (phase, who) else message


def assert_exact_without(round_: TestRound, party: int, phase: str) -> None:
    out = round_.run()
    assert out.lost == {party: phase}
    expected = sum(UPDATES[i].astype(np.uint64) for i in out.contributors)
    np.testing.assert_array_equal(out.ring_sum, expected)


# What a client sends.

LOW_ORDER = [bytes(32), bytes([1]) + bytes(31), bytes([0xEC]) + bytes([0xFF] * 30) + bytes([0x7F])]


def test_a_holder_of_nothing_is_no_fault() -> None:
    def nothing(message: bytes) -> bytes:
        return rewritten(message, Unmask, held=pack_bits(np.zeros(N, np.bool_)), shares=b"")

    out = make_round(replies=lying("unmask", nothing, LIAR)).run()
    assert (out.lost, out.misbehaved) == ({}, {})
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in range(N)))


@pytest.mark.parametrize("key", LOW_ORDER)
@pytest.mark.parametrize("which", ["sealing", "mask"])
def test_low_order_key_costs_its_sender(key: bytes, which: str) -> None:
    round_ = make_round(replies=lying("keys", lambda m: rewritten(m, Keys, **{which: key}), LIAR))
    assert_exact_without(round_, LIAR, "keys")
    assert "low order" in round_.coordinator.misbehaved[LIAR]


def test_copied_key_costs_the_copier() -> None:
    round_ = make_round()
    first: list[Keys] = []

    def copy(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase != "keys":
            return message
        first.append(opened(message, Keys))
        return rewritten(message, Keys, mask=first[0].sealing) if party == LIAR else message

    round_ = make_round(replies=copy)
    assert_exact_without(round_, LIAR, "keys")
    assert "advertised before" in round_.coordinator.misbehaved[LIAR]


@pytest.mark.parametrize(
    "change",
    [
        {"sealed": b""},
        {"sealed": bytes(SEALED_SIZE * N)},
        {"hashes": bytes(2 * HASH_SIZE)},
        {"commitment": b"short"},
    ],
)
def test_shares_of_the_wrong_size_cost_their_sender(change: dict[str, bytes]) -> None:
    round_ = make_round(replies=lying("shares", lambda m: rewritten(m, Shares, **change), LIAR))
    assert_exact_without(round_, LIAR, "shares")


def test_a_box_that_does_not_open_is_one_missing_share_and_no_missing_mask() -> None:
    def spoil(message: bytes) -> bytes:
        sealed = opened(message, Shares).sealed
        return rewritten(message, Shares, sealed=bytes(SEALED_SIZE) + sealed[SEALED_SIZE:])

    round_ = make_round(replies=lying("shares", spoil, LIAR))
    out = round_.run()
    assert not out.lost
    held = unpack_bits(opened(round_.sent["unmask", 0], Unmask).held, N)
    assert held.tolist() == [i != LIAR for i in range(N)]
    assert not out.misbehaved
    assert out.accused == {LIAR: "phase 'unmask': no sound share of its secrets, say the holders [0]"}
    np.testing.assert_array_equal(out.ring_sum, sum(u.astype(np.uint64) for u in UPDATES.values()))


def test_too_many_boxes_that_do_not_open_end_in_too_few() -> None:
    def spoil(message: bytes) -> bytes:
        return rewritten(message, Shares, sealed=bytes(SEALED_SIZE * (N - 1)))

    round_ = make_round(replies=lying("shares", spoil, LIAR))
    with pytest.raises(TooFew) as error:
        round_.run()
    assert round_.coordinator.accused[LIAR].endswith("say the holders [0, 1, 3, 4, 5]")
    assert (error.value.phase, error.value.answered, error.value.needed) == ("unmask", 1, 5)


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_vector_of_the_wrong_size_costs_its_sender(size: int) -> None:
    round_ = make_round(replies=lying("masked", lambda m: rewritten(m, Masked, vector=bytes(size)), LIAR))
    assert_exact_without(round_, LIAR, "masked")


def test_forged_share_costs_its_holder() -> None:
    def forge(message: bytes) -> bytes:
        shares = bytearray(opened(message, Unmask).shares)
        shares[3 * SHARE_SIZE] ^= 1
        return rewritten(message, Unmask, shares=bytes(shares))

    round_ = make_round(replies=lying("unmask", forge, LIAR))
    out = round_.run()
    assert out.lost == {LIAR: "unmask"}
    assert "never published" in out.misbehaved[LIAR]
    assert LIAR in out.contributors
    np.testing.assert_array_equal(out.ring_sum, sum(u.astype(np.uint64) for u in UPDATES.values()))


@pytest.mark.parametrize("lost", [False, True])
def test_misdealt_secret_ends_the_round_with_its_dealer(monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """Shares that agree with their hashes and with each other, of another secret than was committed to."""
    split = PairwiseParty._split

    def misdeal(self: PairwiseParty, seed: bytes, private: bytes, holders: list[int]) -> dict[int, bytes]:
        wrong = self.me == LIAR
        return split(self, bytes(32) if wrong else seed, bytes(32) if wrong else private, holders)

    monkeypatch.setattr(PairwiseParty, "_split", misdeal)
    round_ = make_round(lost={LIAR: "masked"} if lost else {})
    with pytest.raises(PeerMisbehaved, match="dealt wrongly") as error:
        round_.run()
    assert error.value.culprits == {LIAR}
    assert round_.coordinator.result is None


def test_inconsistent_shares_end_the_round_with_their_dealer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares on no common polynomial."""
    split = PairwiseParty._split

    def misdeal(self: PairwiseParty, seed: bytes, private: bytes, holders: list[int]) -> dict[int, bytes]:
        pairs = split(self, seed, private, holders)
        return {j: split(self, bytes([j] * 32), private, holders)[j] for j in pairs} if self.me == LIAR else pairs

    monkeypatch.setattr(PairwiseParty, "_split", misdeal)
    with pytest.raises(PeerMisbehaved) as error:
        make_round().run()
    assert error.value.culprits == {LIAR}


def test_another_model_is_dropped_before_anything_is_relayed() -> None:
    session = Session.create(range(N), UPDATES[0], context=b"model 7, round 3")
    scheme = PairwiseMasking()
    round_ = TestRound(scheme, session, UPDATES)
    round_.participants[LIAR] = Participant(scheme, session, Seat(LIAR, context=b"model 8, round 3"))
    assert_exact_without(round_, LIAR, "shares")
    assert "another model" in round_.coordinator.misbehaved[LIAR]


def test_masks_of_another_model_cancel_nobody() -> None:
    """Even a server that relays them: the parties derive other keys, so no box opens."""
    session = Session.create(range(N), UPDATES[0], context=b"model 7")
    scheme = PairwiseMasking()
    other = opened_context(scheme, session)
    round_ = TestRound(
        scheme, session, UPDATES, replies=lying("shares", lambda m: rewritten(m, Shares, context=other), LIAR)
    )
    round_.participants[LIAR] = Participant(scheme, session, Seat(LIAR, context=b"model 8"))
    with pytest.raises((TooFew, PeerMisbehaved)):
        round_.run()


def opened_context(scheme: PairwiseMasking, session: Session) -> bytes:
    round_ = TestRound(scheme, session, UPDATES)
    round_.step()
    round_.exchange()
    return opened(round_.sent["shares", 0], Shares).context


# What a server asks.


def refused(phase: str, change: Callable[[bytes], bytes], **options: object) -> ProtocolError:
    """The error with which VICTIM leaves the round; it revealed nothing in that phase."""
    round_ = make_round(asks=lying(phase, change, VICTIM), **options)
    while not round_.coordinator.done and VICTIM not in round_.refusals:
        round_.exchange()
        if VICTIM not in round_.refusals:
            round_.coordinator.close_phase()
    error = round_.refusals[VICTIM]
    assert isinstance(error, ProtocolError)
    assert (phase, VICTIM) not in round_.sent
    return error


def with_contributors(*indices: int) -> Callable[[bytes], bytes]:
    return lambda m: rewritten(m, AskUnmask, contributors=pack_bits([i in indices for i in range(N)]))


def test_refuses_to_unmask_without_its_own_vector() -> None:
    assert "leaves this party's vector out" in str(refused("unmask", with_contributors(0, 1, 2, 4, 5)))


def test_refuses_a_cohort_under_its_policy() -> None:
    assert isinstance(refused("unmask", with_contributors(VICTIM, 0)), PolicyRefused)


def test_refuses_fewer_contributors_than_the_threshold() -> None:
    assert "fewer than the 5" in str(refused("unmask", with_contributors(VICTIM, 0, 1, 2)))


def test_refuses_a_contributor_that_was_never_relayed() -> None:
    error = refused("unmask", with_contributors(*range(N)), lost={0: "shares"})
    assert "never relayed" in str(error)


def test_answers_one_set_only() -> None:
    """The two secrets of one client, asked one after the other: the second ask gets nothing."""
    round_ = make_round(lost={0: "unmask"})
    for _ in range(3):
        round_.step()
    ask = round_.coordinator.asks()[VICTIM]
    first = round_.participants[VICTIM].answer(ask)
    assert round_.participants[VICTIM].answer(ask) == first
    lie = with_contributors(*(i for i in range(N) if i != 0))(ask)
    with pytest.raises(PeerMisbehaved, match="second, different ask"):
        round_.participants[VICTIM].answer(lie)


def test_no_ask_can_name_a_client_in_both_sets() -> None:
    """Of each dealer one share leaves, chosen by one bit."""
    round_ = make_round(lost={0: "masked"})
    round_.run()
    reply = opened(round_.sent["unmask", VICTIM], Unmask)
    assert len(reply.shares) == SHARE_SIZE * N


def change_neighbours(change: Callable[[list[int], list[bytes]], None]) -> Callable[[bytes], bytes]:
    def rewrite(message: bytes) -> bytes:
        ask = opened(message, AskShares)
        indices = unpack_indices(ask.parties, N)
        keys = [ask.keys[i : i + 2 * KEY_SIZE] for i in range(0, len(ask.keys), 2 * KEY_SIZE)]
        change(indices, keys)
        return rewritten(message, AskShares, parties=pack_indices(indices), keys=b"".join(keys))

    return rewrite


def test_refuses_one_key_for_two_neighbours() -> None:
    def copy(_: list[int], keys: list[bytes]) -> None:
        keys[1] = keys[0]

    assert "one public key twice" in str(refused("shares", change_neighbours(copy)))


def test_refuses_itself_as_neighbour() -> None:
    def itself(indices: list[int], _: list[bytes]) -> None:
        indices[VICTIM - 1] = VICTIM
        indices.sort()

    assert "own neighbour" in str(refused("shares", change_neighbours(itself)))


def test_refuses_a_low_order_key() -> None:
    def low(_: list[int], keys: list[bytes]) -> None:
        keys[0] = bytes(32) + keys[0][32:]

    error = refused("shares", change_neighbours(low))
    assert "the server relays a public key of low order" in str(error)
    assert not error.culprits  # unsigned: no honest server relays it, whoever's it is said to be


def test_refuses_a_low_order_mask_key_before_it_trains() -> None:
    """It is shown with the sealing keys, and needed once the shares are there."""

    def low(_: list[int], keys: list[bytes]) -> None:
        keys[0] = keys[0][:KEY_SIZE] + bytes(KEY_SIZE)

    def never() -> None:
        raise AssertionError("trained")

    round_ = make_round()
    round_.step()
    ask, client = round_.coordinator.asks()[VICTIM], round_.participants[VICTIM]
    found = frame.unwrap(client.answer(change_neighbours(low)(ask)) or b"")
    reply = frame.wrap(found.direction, found.phase, found.party, found.tag, frame.checksum_of(ask), found.body)
    round_.coordinator.receive(VICTIM, reply)
    round_.participants.pop(VICTIM)
    for party, participant in round_.participants.items():
        round_.coordinator.receive(party, participant.answer(round_.coordinator.asks()[party]) or b"")
    round_.coordinator.close_phase()
    with pytest.raises(PeerMisbehaved, match="low order"):
        client.answer(round_.coordinator.asks()[VICTIM], never)


def test_refuses_too_few_neighbours() -> None:
    def cut(indices: list[int], keys: list[bytes]) -> None:
        del indices[3:], keys[3:]

    assert "4 holders" in str(refused("shares", change_neighbours(cut)))


def test_refuses_more_neighbours_than_the_graph_has() -> None:
    """Which would let a server surround a client, whatever the degree says."""
    others: dict[int, bytes] = {}

    def remember(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase == "keys":
            keys = opened(message, Keys)
            others[int(party)] = keys.sealing + keys.mask
        return message

    def all_of_them(message: bytes) -> bytes:
        indices = [i for i in range(N) if i != VICTIM]
        return rewritten(message, AskShares, parties=pack_indices(indices), keys=b"".join(others[i] for i in indices))

    error = refused("shares", all_of_them, scheme=PairwiseMasking(neighbours=2), replies=remember)
    assert "5 neighbours: the session's graph has 2" in str(error)


def test_refuses_few_neighbours_in_the_complete_graph_under_its_policy() -> None:
    """There, who is shown is all who can be in the sum."""

    def cut(indices: list[int], keys: list[bytes]) -> None:
        del indices[4:], keys[4:]

    error = refused("shares", change_neighbours(cut), policy=Policy(min_cohort=N))
    assert isinstance(error, PolicyRefused)
    assert "a sum over 5 parties" in str(error)


def test_refuses_signers_in_passive_mode() -> None:
    round_ = make_round()
    for _ in range(3):
        round_.step()
    ask = rewritten(round_.coordinator.asks()[VICTIM], AskUnmask, signers=pack_indices([0]))
    with pytest.raises(WireError, match="signers in passive mode"):
        round_.participants[VICTIM].answer(ask)


def test_refuses_too_few_dealers() -> None:
    def cut(message: bytes) -> bytes:
        return rewritten(message, AskMasked, dealers=pack_indices([0]), sealed=bytes(SEALED_SIZE), hashes=bytes(64))

    assert "2 holders" in str(refused("masked", cut))


def test_refuses_dealers_that_are_no_neighbours() -> None:
    def foreign(message: bytes) -> bytes:
        return rewritten(
            message, AskMasked, dealers=pack_indices(range(N)), sealed=bytes(SEALED_SIZE * N), hashes=bytes(64 * N)
        )

    assert "no neighbour" in str(refused("masked", foreign))


def test_refused_once_is_out_for_the_round() -> None:
    round_ = make_round()
    for _ in range(3):
        round_.step()
    ask = round_.coordinator.asks()[VICTIM]
    with pytest.raises(PolicyRefused):
        round_.participants[VICTIM].answer(with_contributors(VICTIM, 0)(ask))
    with pytest.raises(RuntimeError, match="has left the round"):
        round_.participants[VICTIM].answer(ask)


# Secrets at rest.


def test_nothing_is_left_that_opens_a_mask() -> None:
    round_ = make_round()
    secrets: set[bytes] = set()
    while not round_.coordinator.done:
        stage = machine(round_.participants[VICTIM]).stage
        secrets |= {value for value in (getattr(stage, f) for f in stage.__struct_fields__) if len(value) == 32}
        round_.step()
    saved = machine(round_.participants[VICTIM]).save()
    assert len(secrets) >= 3
    assert not any(secret in saved for secret in secrets)
    assert len(saved) < 32


def machine(participant: Participant) -> PairwiseParty:
    found = participant._machine
    assert isinstance(found, PairwiseParty)
    return found


def test_a_stranger_cannot_restore_a_participant() -> None:
    scheme = PairwiseMasking()
    round_ = make_round(scheme)
    round_.step()
    saved = round_.participants[0].save(bytes(32))
    with pytest.raises(StateError, match="does not open"):
        Participant.restore(scheme, saved, bytes([1]) * 32, LIAR)
    with pytest.raises(StateError, match="does not open"):
        Coordinator.restore(scheme, saved, bytes(32))


def test_inconsistent_model_names_both_digests() -> None:
    session = Session.create(range(N), UPDATES[0], context=b"a")
    assert issubclass(InconsistentModel, ProtocolError)
    scheme = PairwiseMasking()
    round_ = TestRound(scheme, session, UPDATES, policy=Policy(min_cohort=2))
    round_.participants[LIAR] = Participant(scheme, session, Seat(LIAR, context=b"b"))
    round_.run()
    why = round_.coordinator.misbehaved[LIAR]
    assert why.count("digest") == 1
    assert "the session's is" in why


@pytest.mark.parametrize("changes", [{"signature": bytes(64)}, {"context": bytes(HASH_SIZE)}])
def test_words_of_the_other_mode_cost_their_sender(changes: dict[str, bytes]) -> None:
    """Nobody signs in passive mode, and nobody would look at what one says there."""
    round_ = make_round(replies=lying("keys", lambda reply: rewritten(reply, Keys, **changes), LIAR))
    assert_exact_without(round_, LIAR, "keys")
    assert LIAR in round_.coordinator.misbehaved


WORDS = [{"signatures": bytes(64)}, {"prepared": bytes(1)}, {"prepared": pack_bits([True] * (N - 1))}]


@pytest.mark.parametrize("changes", WORDS)
def test_an_ask_with_words_of_the_other_mode_is_none(changes: dict[str, bytes]) -> None:
    round_ = make_round()
    round_.step()
    ask = rewritten(round_.coordinator.asks()[VICTIM], AskShares, **changes)
    with pytest.raises(WireError):
        round_.participants[VICTIM].answer(ask)


def test_an_ask_to_unmask_with_signatures_is_none() -> None:
    for changes in ({"signatures": bytes(64)}, {"signers": pack_indices([0])}):
        round_ = make_round()
        while round_.coordinator.phase != "unmask":
            round_.step()
        with pytest.raises(WireError):
            round_.participants[VICTIM].answer(rewritten(round_.coordinator.asks()[VICTIM], AskUnmask, **changes))


def test_refuses_its_own_keys_as_a_neighbour_s() -> None:
    """A mask with a copy of oneself would cancel nothing."""
    round_ = make_round()
    round_.step()
    own = opened(round_.sent["keys", VICTIM], Keys)
    ask = round_.coordinator.asks()[VICTIM]
    keys = opened(ask, AskShares).keys
    copied = rewritten(ask, AskShares, keys=own.sealing + own.mask + keys[2 * KEY_SIZE :])
    with pytest.raises(PeerMisbehaved, match="or this party's own"):
        round_.participants[VICTIM].answer(copied)


def test_a_client_whose_neighbours_have_another_model_gives_no_vector() -> None:
    """The server's word for theirs, before anything is masked."""
    round_ = make_round()
    while round_.coordinator.phase != "masked":
        round_.step()
    ask = rewritten(round_.coordinator.asks()[VICTIM], AskMasked, context=bytes(32))
    with pytest.raises(InconsistentModel, match="its neighbours"):
        round_.participants[VICTIM].answer(ask, UPDATES[VICTIM])

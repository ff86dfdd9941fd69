"""Active mode: a client signs one set of contributors, and opens it only where enough holders of its shares did too."""

from collections.abc import Callable

import pytest
from byhand import (
    ALL,
    COMPLETE,
    EARLIER,
    MEMBERS,
    OTHER,
    ROSTER,
    VICTIM,
    ByHand,
    N,
    T,
    blames_the_server,
    by_hand,
    flipped,
    ready,
    regular_by_hand,
)

from secagg.errors import PeerMisbehaved, PolicyRefused, ProtocolError, WireError
from secagg.primitives import signing
from secagg.scheme import Ledger, Policy
from secagg_protocols.pairwise.messages import AskUnmask, pack_indices

# The contributors: what a client signs.


def unsigned(hand: ByHand, contributors: list[int]) -> ProtocolError | WireError:
    """With what VICTIM refuses to sign that set."""
    assert hand.consistency(lambda _: contributors, clients=[VICTIM]) == {}
    return hand.refusals[VICTIM]


def test_nothing_is_signed_for_a_sum_that_must_not_be_opened() -> None:
    blames_the_server(unsigned(ready(by_hand()), [0, 1, 2, 4, 5]), "leaves this party's vector out")
    blames_the_server(unsigned(ready(by_hand()), [0, 1, VICTIM]), "fewer than the 4 that the threshold demands")
    assert isinstance(unsigned(ready(by_hand()), [0, VICTIM]), PolicyRefused)
    assert isinstance(unsigned(ready(by_hand(policy=Policy(min_cohort=6))), [0, 1, 2, VICTIM, 4]), PolicyRefused)


def test_nothing_is_signed_for_a_contributor_whose_shares_never_came() -> None:
    hand = by_hand()
    hand.keys()
    hand.shares()
    hand.masked(silent=[OTHER])
    blames_the_server(unsigned(hand, list(ALL)), "whose shares it never relayed")


def test_nothing_is_signed_for_a_contributor_that_never_advertised() -> None:
    """Nobody is its neighbour, so that nobody misses its shares; it would only make the cohort look larger."""

    def without_the_last() -> ByHand:
        hand = regular_by_hand()
        hand.keys(range(8))
        hand.shares()
        hand.masked()
        return hand

    blames_the_server(unsigned(without_the_last(), list(range(9))), "whose shares it never relayed")
    assert set(without_the_last().consistency(lambda _: range(8))) == set(range(8))


def test_nothing_is_signed_that_a_ledger_forbids() -> None:
    ledger = Ledger()
    ledger.add(b"round 7", by_hand().session.encoding.digest, frozenset(ALL))
    assert isinstance(unsigned(ready(by_hand(ledgers={VICTIM: ledger})), [1, 2, VICTIM, 4, 5]), PolicyRefused)
    ledger.forget(b"round 7")
    hand = ready(by_hand(ledgers={VICTIM: ledger}))
    assert hand.consistency(lambda _: [1, 2, VICTIM, 4, 5], clients=[VICTIM])


def test_one_set_is_signed_and_no_second_one() -> None:
    hand = ready(by_hand())
    hand.consistency(lambda _: list(ALL))
    assert hand.consistency(lambda _: list(ALL), clients=[VICTIM])  # the same again
    blames_the_server(unsigned(hand, [0, 1, 2, VICTIM, 4]), "a second, different ask")


# The contributors: whose signatures open them.


def kept(
    change: Callable[[ByHand, dict[int, bytes]], dict[int, bytes]], scheme: str = "complete"
) -> ProtocolError | WireError:
    """With what VICTIM refuses to unmask all, shown changed signatures."""
    hand = ready(by_hand()) if scheme == "complete" else ready(regular_by_hand())
    everybody = range(len(hand.session.parties))
    signatures = hand.consistency(lambda _: everybody)
    assert hand.unmask(VICTIM, everybody, change(hand, signatures)) is None
    return hand.refusals[VICTIM]


def some(hand: ByHand, signatures: dict[int, bytes], count: int) -> dict[int, bytes]:
    return {j: signatures[j] for j in hand.holders(VICTIM)[:count]}


@pytest.mark.parametrize("scheme", ["complete", "regular"])
def test_threshold_signatures_open_a_set_and_fewer_do_not(scheme: str) -> None:
    for count in range(T):
        error = kept(lambda hand, signatures, count=count: some(hand, signatures, count), scheme)
        blames_the_server(error, f"{count} signatures of the contributor set, 4 needed")
    hand = ready(by_hand()) if scheme == "complete" else ready(regular_by_hand())
    everybody = range(len(hand.session.parties))
    signatures = hand.consistency(lambda _: everybody)
    assert hand.unmask(VICTIM, everybody, some(hand, signatures, T)) is not None


def test_a_signature_of_no_holder_does_not_count() -> None:
    """A client of the regular graph that is no neighbour, though it signed the same set."""

    def stranger(hand: ByHand, signatures: dict[int, bytes]) -> dict[int, bytes]:
        other = next(j for j in signatures if j not in hand.holders(VICTIM) and j != VICTIM)
        return some(hand, signatures, T - 1) | {other: signatures[other]}

    blames_the_server(kept(stranger, "regular"), "a party that holds none of this party's shares")


def test_a_clients_own_signature_counts_where_it_holds_its_own_shares() -> None:
    own = kept(lambda hand, signatures: some(hand, signatures, T - 1) | {VICTIM: signatures[VICTIM]}, "regular")
    blames_the_server(own, "a party that holds none of this party's shares")
    hand = ready(by_hand())
    signatures = hand.consistency(lambda _: ALL)
    assert hand.unmask(VICTIM, ALL, {j: signatures[j] for j in (0, 1, 2, VICTIM)}) is not None


def test_a_signature_of_a_party_that_is_none_is_no_message() -> None:
    hand = ready(by_hand())
    signatures = hand.consistency(lambda _: ALL)
    ask = AskUnmask(hand.bits(ALL), pack_indices([0, 1, 2, N]), b"".join(signatures[i] for i in range(4)))
    assert hand.tell("unmask", VICTIM, ask) is None
    assert isinstance(hand.refusals[VICTIM], WireError)


def test_one_signature_does_not_count_twice() -> None:
    for signers in ([0, 0, 1, 2], [0, 1, 2, 2], [2, 1, 0, 4]):
        hand = ready(by_hand())
        signatures = hand.consistency(lambda _: ALL)
        ask = AskUnmask(hand.bits(ALL), pack_indices(signers), b"".join(signatures[i] for i in signers))
        assert hand.tell("unmask", VICTIM, ask) is None
        assert isinstance(hand.refusals[VICTIM], WireError)
    blames_the_server(
        kept(lambda hand, signatures: some(hand, signatures, T - 1) | {OTHER: signatures[0]}),
        "party 4: signature does not verify",
    )


@pytest.mark.parametrize(
    "forge",
    [
        lambda signature: bytes(64),
        lambda signature: flipped(signature, 10),
        lambda signature: signing.sign(bytes(32), b"another identity"),
    ],
)
def test_a_forged_signature_spoils_all(forge: Callable[[bytes], bytes]) -> None:
    """One bad signature beside enough good ones: an honest server never shows one."""
    error = kept(lambda hand, signatures: signatures | {0: forge(signatures[0])})
    blames_the_server(error, "party 0: signature does not verify")


def test_signatures_of_the_wrong_size_are_no_message() -> None:
    for cut in (lambda s: s[:-1], lambda s: s + bytes(64), lambda s: b""):
        hand = ready(by_hand())
        signatures = b"".join(hand.consistency(lambda _: ALL).values())
        ask = AskUnmask(hand.bits(ALL), pack_indices(ALL), cut(signatures))
        assert hand.tell("unmask", VICTIM, ask) is None
        assert isinstance(hand.refusals[VICTIM], WireError)


def test_signatures_of_another_set_do_not_count() -> None:
    """Half signed another set than VICTIM: it is shown too few that are of its own."""
    hand = ready(by_hand())
    less = [i for i in ALL if i != 5]
    signatures = hand.consistency(lambda i: ALL if i in (2, VICTIM, 5) else less)
    assert hand.unmask(VICTIM, ALL, signatures) is None
    blames_the_server(hand.refusals[VICTIM], "party 0: signature does not verify")
    assert hand.unmask(2, ALL, {j: signatures[j] for j in (2, VICTIM, 5)}) is None
    blames_the_server(hand.refusals[2], "3 signatures of the contributor set, 4 needed")


@pytest.mark.parametrize("other", [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
def test_another_set_than_was_signed_is_not_opened(other: list[int]) -> None:
    """Even where all others signed it."""
    hand = ready(by_hand())
    signatures = hand.consistency(lambda i: ALL if i == VICTIM else other, clients=sorted({*other, VICTIM}))
    assert hand.unmask(VICTIM, other, {j: signatures[j] for j in other if j != VICTIM}) is None
    blames_the_server(hand.refusals[VICTIM], "another set than this party signed")


def test_nothing_is_opened_before_it_was_signed() -> None:
    hand = ready(by_hand())
    others = [i for i in ALL if i != VICTIM]
    signatures = hand.consistency(lambda _: ALL, clients=others)
    assert hand.unmask(VICTIM, ALL, signatures) is None
    blames_the_server(hand.refusals[VICTIM], "ask of phase 'unmask', expected 'consistency'")


def test_signatures_of_another_round_do_not_count() -> None:
    """The same parties, keys of identity and contributors; another session."""
    earlier = ready(ByHand(COMPLETE, EARLIER, MEMBERS))
    replayed = earlier.consistency(lambda _: ALL)
    blames_the_server(kept(lambda hand, signatures: replayed), "party 0: signature does not verify")


def test_an_advertisements_signature_is_none_of_a_set() -> None:
    blames_the_server(
        kept(lambda hand, signatures: {i: signature for i, (_, signature) in hand.advertised.items()}),
        "party 0: signature does not verify",
    )


def test_what_is_signed_is_bound_to_round_options_roster_and_view() -> None:
    hand = ready(by_hand())
    signatures = hand.consistency(lambda _: ALL)
    statement = hand.statement(VICTIM, ALL, ROSTER.digest)
    ROSTER.verify(VICTIM, statement, signatures[VICTIM])
    for other in (
        hand.statement(VICTIM, [0, 1, 2, 3, 4], ROSTER.digest),
        hand.statement(VICTIM, ALL, bytes(32)),
        hand.statement(VICTIM, ALL, b""),
    ):
        with pytest.raises(PeerMisbehaved):
            ROSTER.verify(VICTIM, other, signatures[VICTIM])

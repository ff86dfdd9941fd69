"""Active mode: nobody speaks in another's name, and clients that were shown different keys help each other to nothing.

A client blames the server (no culprits) for a bad signature that it relays: an honest server would have refused it.
The server blames the sender.
"""

from collections.abc import Callable

import pytest
from byhand import (
    ALL,
    EARLIER,
    LIAR,
    MEMBERS,
    OTHER,
    SESSION,
    UPDATES,
    VICTIM,
    Advertisement,
    ByHand,
    N,
    ask_shares,
    blames_the_server,
    by_hand,
    flipped,
    fresh_keys,
    regular_by_hand,
    statement_of,
)

from secagg.errors import (
    PeerMisbehaved,
    PolicyRefused,
    ProtocolError,
    WireError,
)
from secagg.primitives import signing
from secagg.scheme import Policy, Session
from secagg.testing import TestRound, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import AskShares, pack_indices


def signed(i: int, keys: bytes, by: int | None = None, session: Session = SESSION) -> Advertisement:
    """An advertisement in i's name, signed with the identity of `by`."""
    signer = MEMBERS[i if by is None else by]
    return keys, signer.sign(statement_of(session, i, keys))


# What a server shows of the advertisements.


def shown(change: Callable[[dict[int, Advertisement]], object]) -> ProtocolError | WireError:
    """With what VICTIM refuses the advertisements that `change` has changed; it deals no shares."""
    hand = by_hand()
    view = dict(hand.keys())
    change(view)
    assert hand.tell("shares", VICTIM, ask_shares(view)) is None
    return hand.refusals[VICTIM]


def give(i: int, advertisement: Callable[[dict[int, Advertisement]], Advertisement]) -> Callable[..., object]:
    return lambda view: view.__setitem__(i, advertisement(view))


@pytest.mark.parametrize(
    "advertisement",
    [
        pytest.param(lambda view: (view[OTHER][0], bytes(64)), id="unsigned"),
        pytest.param(lambda view: (view[OTHER][0], flipped(view[OTHER][1], 63)), id="altered"),
        pytest.param(lambda view: (fresh_keys(5), view[OTHER][1]), id="the server's keys"),
        pytest.param(lambda view: signed(OTHER, fresh_keys(5), by=LIAR), id="signed by another"),
        pytest.param(lambda view: signed(OTHER, fresh_keys(5), session=EARLIER), id="of another session"),
        pytest.param(lambda view: (view[OTHER][0][32:] + view[OTHER][0][:32], view[OTHER][1]), id="swapped halves"),
        pytest.param(
            lambda view: (
                fresh_keys(5),
                signing.sign(
                    bytes(32),
                    statement_of(SESSION, OTHER, fresh_keys(5)),
                ),
            ),
            id="of no roster",
        ),
    ],
)
def test_a_client_refuses_a_bad_advertisement(
    advertisement: Callable[[dict[int, Advertisement]], Advertisement],
) -> None:
    error = shown(give(OTHER, advertisement))
    blames_the_server(error, "party 4: signature does not verify")


def test_a_client_refuses_two_advertisements_that_changed_places() -> None:
    def swap(view: dict[int, Advertisement]) -> None:
        view[LIAR], view[OTHER] = view[OTHER], view[LIAR]

    blames_the_server(shown(swap), "party 2: signature does not verify")


def test_a_client_refuses_signatures_that_changed_places() -> None:
    def swap(view: dict[int, Advertisement]) -> None:
        view[LIAR], view[OTHER] = (view[LIAR][0], view[OTHER][1]), (view[OTHER][0], view[LIAR][1])

    blames_the_server(shown(swap), "party 2: signature does not verify")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda view: view.pop(VICTIM), id="left out"),
        pytest.param(give(VICTIM, lambda view: (fresh_keys(5), view[VICTIM][1])), id="the server's"),
        pytest.param(give(VICTIM, lambda view: signed(VICTIM, fresh_keys(5))), id="its own of a lost state"),
        pytest.param(
            give(VICTIM, lambda view: signed(VICTIM, fresh_keys(5), session=EARLIER)), id="of another session"
        ),
    ],
)
def test_a_client_refuses_other_keys_in_its_own_name(change: Callable[[dict[int, Advertisement]], object]) -> None:
    blames_the_server(shown(change), "other keys in this party's name, or none")


def test_a_client_refuses_its_own_advertisement_with_another_signature() -> None:
    blames_the_server(
        shown(give(VICTIM, lambda view: (view[VICTIM][0], bytes(64)))), "party 3: signature does not verify"
    )


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(lambda view: view[OTHER][0], id="both keys"),
        pytest.param(lambda view: fresh_keys(5)[:32] + view[OTHER][0][:32], id="a sealing key as mask key"),
        pytest.param(lambda view: fresh_keys(5)[:32] * 2, id="its own twice"),
        pytest.param(lambda view: view[VICTIM][0][:32] + fresh_keys(5)[:32], id="the client's own"),
    ],
)
def test_a_client_refuses_one_key_twice_though_signed(keys: Callable[[dict[int, Advertisement]], bytes]) -> None:
    error = shown(give(LIAR, lambda view: signed(LIAR, keys(view))))
    blames_the_server(error, "one public key twice")


def test_a_signed_key_of_low_order_is_its_signers_fault() -> None:
    """In active mode a client knows who made it, and an honest server refuses it too."""
    error = shown(give(LIAR, lambda view: signed(LIAR, bytes(32) + fresh_keys(5)[:32])))
    assert isinstance(error, PeerMisbehaved)
    assert "low order" in str(error)
    assert error.culprits == {LIAR}


def test_a_client_refuses_a_list_that_is_no_list() -> None:
    for changed in (
        lambda ask: AskShares(ask.parties[4:] + ask.parties[:4], ask.keys, ask.signatures),
        lambda ask: AskShares(
            ask.parties + ask.parties[-4:], ask.keys + ask.keys[-64:], ask.signatures + ask.signatures[-64:]
        ),
        lambda ask: AskShares(ask.parties, ask.keys, b""),
        lambda ask: AskShares(ask.parties, ask.keys, ask.signatures[64:]),
        lambda ask: AskShares(pack_indices([*range(N - 1), N]), ask.keys, ask.signatures),
    ):
        hand = by_hand()
        assert hand.tell("shares", VICTIM, changed(ask_shares(hand.keys()))) is None
        assert isinstance(hand.refusals[VICTIM], WireError)


def test_a_client_counts_the_advertisements() -> None:
    """Fewer than its policy's cohort, or than the threshold: nothing is dealt."""
    hand = by_hand(policy=Policy(min_cohort=6))
    view = hand.keys()
    few = {i: view[i] for i in ALL if i != LIAR}
    assert hand.tell("shares", VICTIM, ask_shares(few)) is None
    assert isinstance(hand.refusals[VICTIM], PolicyRefused)
    for count, says in ((3, "3 holders of this party's shares, 4 needed"), (2, "a sum over 2 parties")):
        error = shown(lambda v, count=count: [v.pop(i) for i in list(v) if i not in (*range(count - 1), VICTIM)])
        assert says in str(error)


def test_passive_clients_refuse_signatures() -> None:
    scheme = PairwiseMasking()
    round_ = TestRound(
        scheme,
        Session.create(ALL, UPDATES[0]),
        UPDATES,
        asks=lambda phase, party, message: (
            rewritten(message, AskShares, signatures=bytes(64)) if (phase, party) == ("shares", VICTIM) else message
        ),
    )
    assert round_.run().lost == {VICTIM: "shares"}
    assert isinstance(round_.refusals[VICTIM], WireError)


# Two views of the advertisements.


def views(hand: ByHand, shown_less: list[int], missing: int) -> None:
    """Shares and vectors of a round in which some clients are not shown one advertisement."""
    view = hand.keys()
    less = {i: keys for i, keys in view.items() if i != missing}
    hand.shares(dict.fromkeys(shown_less, less))
    hand.masked()


@pytest.mark.parametrize("make", [by_hand, regular_by_hand])
def test_a_client_that_was_shown_fewer_advertisements_reveals_nothing(make: Callable[[], ByHand]) -> None:
    hand = make()
    n = len(hand.session.parties)
    views(hand, [VICTIM], missing=0)
    everybody = range(n)
    signatures = hand.consistency(lambda _: range(1, n), clients=range(1, n))
    assert set(signatures) == set(range(1, n))
    holders = {j: signatures[j] for j in hand.holders(VICTIM)}
    assert hand.unmask(VICTIM, range(1, n), holders) is None
    first = next(j for j in hand.holders(VICTIM) if j != VICTIM)
    blames_the_server(hand.refusals[VICTIM], f"party {first}: signature does not verify")
    assert set(everybody) - set(hand.refusals) >= {1}


def test_a_client_that_was_shown_one_advertisement_more_reveals_nothing() -> None:
    hand = by_hand()
    views(hand, [i for i in ALL if i != VICTIM], missing=0)
    contributors = range(1, N)
    signatures = hand.consistency(lambda _: contributors, clients=contributors)
    assert hand.unmask(VICTIM, contributors, signatures) is None
    blames_the_server(hand.refusals[VICTIM], "signature does not verify")
    assert hand.unmask(OTHER, contributors, {i: s for i, s in signatures.items() if i != VICTIM}) is not None


def test_two_halves_with_two_views_reveal_nothing() -> None:
    """Neither half has `threshold` clients, and no signature counts in the other."""
    hand = by_hand()
    views(hand, [3, 4, 5], missing=0)
    contributors = range(1, N)
    signatures = hand.consistency(lambda _: contributors, clients=contributors)
    for i in contributors:
        alike = {j: signatures[j] for j in signatures if (j < 3) == (i < 3)}
        assert hand.unmask(i, contributors, alike) is None
        blames_the_server(hand.refusals[i], f"{len(alike)} signatures of the contributor set, 4 needed")


def test_views_are_told_apart_by_keys_by_parties_and_by_signatures() -> None:
    parts = [pack_indices([0, 1]), bytes(128), bytes(128)]
    seen = {derive.view_digest(*parts)}
    for place in range(3):
        for at in range(len(parts[place])):
            changed = [*parts]
            changed[place] = flipped(parts[place], at)
            seen.add(derive.view_digest(*changed))
    assert len(seen) == 1 + 8 + 128 + 128
    moved = derive.view_digest(parts[0] + parts[1][:1], parts[1][1:], parts[2])
    assert moved not in seen

"""Active mode, what clients send: a bad signature costs its sender, and who may take part is on the roster."""

from collections.abc import Callable

import numpy as np
import pytest
from byhand import (
    ALL,
    COMPLETE,
    LIAR,
    MEMBERS,
    OTHER,
    ROSTER,
    SESSION,
    UPDATES,
    VICTIM,
    N,
    by_hand,
    flipped,
    fresh_keys,
    statement_of,
)

from secagg.api import Coordinator, Participant
from secagg.errors import (
    BadCohort,
    ConfigError,
    PartyId,
    UnknownParty,
)
from secagg.scheme import Credentials, Roster, Seat, Session
from secagg.testing import SeededEntropy, TestRound, opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, Consistency, Keys

# What a client sends: the server names the sender, and the others finish without it.


def make_round(**options: object) -> TestRound:
    return TestRound(COMPLETE, SESSION, UPDATES, **options)  # type: ignore[arg-type]


def assert_exact(
    round_: TestRound, lost: str, contributors: set[int], says: str = "party 2: signature does not verify"
) -> None:
    out = round_.run()
    assert out.lost == {LIAR: lost}
    assert set(out.misbehaved) == {LIAR}
    assert says in out.misbehaved[LIAR]
    assert out.contributors == contributors
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in contributors))


def advertising(change: Callable[[dict[PartyId, Keys]], Keys | dict[str, object]]) -> TestRound:
    """LIAR sends what `change` makes of the advertisements so far, its own among them."""
    seen: dict[PartyId, Keys] = {}

    def replies(phase: str, party: PartyId, message: bytes) -> bytes:
        if phase != "keys":
            return message
        seen[party] = opened(message, Keys)
        if party != LIAR:
            return message
        made = change(seen)
        fields = {name: getattr(made, name) for name in made.__struct_fields__} if isinstance(made, Keys) else made
        return rewritten(message, Keys, **fields)

    return make_round(replies=replies)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda seen: {"signature": b""}, id="unsigned"),
        pytest.param(lambda seen: {"signature": bytes(64)}, id="zeros"),
        pytest.param(lambda seen: {"signature": flipped(seen[LIAR].signature, 40)}, id="altered"),
        pytest.param(lambda seen: {"signature": seen[LIAR].signature * 2}, id="long"),
        pytest.param(lambda seen: {"signature": seen[0].signature}, id="another's signature"),
        pytest.param(lambda seen: seen[0], id="another's advertisement"),
        pytest.param(lambda seen: {"mask": fresh_keys(1)[:32]}, id="another key than it signed"),
        pytest.param(lambda seen: {"mask": seen[LIAR].sealing, "sealing": seen[LIAR].mask}, id="keys swapped"),
    ],
)
def test_the_server_refuses_a_bad_advertisement(
    change: Callable[[dict[PartyId, Keys]], Keys | dict[str, object]],
) -> None:
    assert_exact(advertising(change), "keys", set(ALL) - {LIAR})


def test_the_server_refuses_one_key_twice_even_signed() -> None:
    round_ = make_round()

    def replies(phase: str, party: PartyId, message: bytes) -> bytes:
        if (phase, party) != ("keys", LIAR):
            return message
        copied = opened(round_.sent["keys", 0], Keys)
        statement = statement_of(SESSION, LIAR, copied.sealing + copied.mask)
        return rewritten(
            message,
            Keys,
            sealing=copied.sealing,
            mask=copied.mask,
            signature=round_.credentials[LIAR].sign(statement),
        )

    round_._replies = replies
    assert_exact(round_, "keys", set(ALL) - {LIAR}, "advertised before")


def test_the_server_refuses_an_identity_of_another_roster() -> None:
    round_ = make_round()
    foreign = Credentials.generate(SESSION.parties, SeededEntropy(9))[LIAR]
    round_.participants[LIAR] = Participant(COMPLETE, SESSION, Seat(LIAR, credentials=foreign))
    assert_exact(round_, "keys", set(ALL) - {LIAR})


def test_the_server_refuses_an_advertisement_of_another_session() -> None:
    earlier = Session.create(range(N), np.zeros(5, np.uint16), context=b"round 7", entropy=SeededEntropy(8))
    round_ = make_round()
    before = Participant(COMPLETE, earlier, Seat(LIAR, credentials=round_.credentials[LIAR]))
    other = TestRound(COMPLETE, earlier, UPDATES)
    replayed = opened(before.answer(other.coordinator.asks()[LIAR]) or b"", Keys)
    round_._replies = lambda phase, party, message: (
        rewritten(message, Keys, sealing=replayed.sealing, mask=replayed.mask, signature=replayed.signature)
        if (phase, party) == ("keys", LIAR)
        else message
    )
    assert_exact(round_, "keys", set(ALL) - {LIAR})


def test_another_roster_at_one_client_alone_costs_that_client() -> None:
    """Its own key is the same, another's is not: it derives other keys than all, so that no box opens for it."""
    round_ = make_round()
    keys = {party: ROSTER.key(party) for party in ROSTER.parties}
    own = {party: round_.roster.key(party) for party in ALL} if round_.roster else {}
    mixed = Roster(own | {OTHER: keys[OTHER]})
    round_.participants[LIAR] = Participant(
        COMPLETE, SESSION, Seat(LIAR, credentials=Credentials(round_.credentials[LIAR].identity, mixed))
    )
    out = round_.run()
    assert out.lost == {LIAR: "shares"}
    assert "party 4: signature does not verify" in str(round_.refusals[LIAR])


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(lambda mine, others: b"", id="unsigned"),
        pytest.param(lambda mine, others: flipped(mine, 3), id="altered"),
        pytest.param(lambda mine, others: others, id="another's"),
    ],
)
def test_the_server_refuses_a_bad_signature_of_the_contributors(signature: Callable[[bytes, bytes], bytes]) -> None:
    """Its vector is in the sum already: lost at "consistency", and still a contributor."""
    round_ = make_round()

    def replies(phase: str, party: PartyId, message: bytes) -> bytes:
        if (phase, party) != ("consistency", LIAR):
            return message
        others = opened(round_.sent["consistency", 0], Consistency).signature
        mine = opened(message, Consistency).signature
        return rewritten(message, Consistency, signature=signature(mine, others))

    round_._replies = replies
    assert_exact(round_, "consistency", set(ALL))


def test_a_client_that_was_asked_about_another_set_is_lost() -> None:
    """Somebody changed the ask on its way: the reply answers another ask than the server's."""
    others = by_hand().bits([i for i in ALL if i != OTHER])

    def asks(phase: str, party: PartyId, message: bytes) -> bytes:
        lied_to = (phase, party) == ("consistency", LIAR)
        return rewritten(message, AskConsistency, contributors=others) if lied_to else message

    assert_exact(make_round(asks=asks), "consistency", set(ALL), "a reply to another ask")


# Who may take part.


@pytest.mark.parametrize("scheme", [COMPLETE, PairwiseMasking(neighbours=4, adversary="active")])
def test_identities_are_needed(scheme: PairwiseMasking) -> None:
    with pytest.raises(ConfigError, match="needs the parties' identities"):
        Participant(scheme, SESSION, 0)
    with pytest.raises(ConfigError, match="needs the parties' identities"):
        Coordinator(scheme, SESSION)


def test_another_partys_identity_is_refused() -> None:
    with pytest.raises(ConfigError, match="identity key of party 0 is not the one on the roster"):
        Participant(COMPLETE, SESSION, Seat(0, credentials=MEMBERS[1]))
    with pytest.raises(UnknownParty):
        Participant(COMPLETE, SESSION, Seat("eve", credentials=MEMBERS[1]))


def test_a_party_of_the_session_that_is_not_on_the_roster_is_named() -> None:
    roster = Roster({i: ROSTER.key(i) for i in ALL if i != OTHER})
    with pytest.raises(BadCohort, match="party 4 is not on the roster"):
        Participant(COMPLETE, SESSION, Seat(0, credentials=Credentials(MEMBERS[0].identity, roster)))
    with pytest.raises(BadCohort, match="party 4 is not on the roster"):
        Coordinator(COMPLETE, SESSION, roster)


def test_a_roster_may_name_more_than_the_session() -> None:
    more = Credentials.generate([*ALL, "spare"], SeededEntropy(5))
    for party in ALL:
        Participant(COMPLETE, SESSION, Seat(party, credentials=more[party]))
    Coordinator(COMPLETE, SESSION, more[0].roster)


def test_identities_are_no_part_of_saved_state() -> None:
    hand = by_hand()
    hand.keys()
    key = bytes(32)
    saved = hand.clients[VICTIM].save(key)
    with pytest.raises(ConfigError, match="needs the parties' identities"):
        Participant.restore(COMPLETE, saved, key, VICTIM)
    with pytest.raises(ConfigError, match="identity key of party 3 is not the one"):
        Participant.restore(COMPLETE, saved, key, Seat(VICTIM, credentials=MEMBERS[LIAR]))
    assert MEMBERS[VICTIM].identity not in hand.clients[VICTIM].state()
    coordinator = Coordinator(COMPLETE, SESSION, ROSTER)
    with pytest.raises(ConfigError, match="needs the parties' identities"):
        Coordinator.restore(COMPLETE, coordinator.save(key), key)


def test_who_says_in_clear_that_the_round_is_about_something_else_is_out() -> None:
    """Whatever it signed: the server relays no context, and the others would count it in."""
    round_ = advertising(lambda seen: {"context": bytes(32)})
    assert_exact(round_, "keys", set(ALL) - {LIAR}, "another model, round or configuration")

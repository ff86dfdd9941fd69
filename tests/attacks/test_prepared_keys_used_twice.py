"""Keys that a client prepared for a round meet two sessions of it: contributing to one and lost in the other, it would
give away its vector, as with keys that last (issue 5; design, law 4). And what the server itself can do with an old
prepared advertisement: show it again, in another round, or in another session of the same round, once the mask key
behind it is known (Bonawitz et al. 2017, 6.2, on signed keys).
"""

import numpy as np
import pytest
from attacker import CONTEXT, OTHERS, UPDATES, VICTIM, LyingServer, N, assert_is_update_of, bits, make_session
from test_lost_later_opens_earlier import DEALERS, earlier_vector
from test_replayed_round import GHOSTS, LIVE, relayed, sum_of_the_live
from twins import NeverUsedUp

from secagg.api import Coordinator, Participant, Prepared, prepare
from secagg.errors import LocalMisuse, PeerMisbehaved, PolicyRefused
from secagg.primitives import agreement
from secagg.scheme import Ledger, Policy, Seat, Store
from secagg.testing import TestRound, opened
from secagg.wire import codec
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, AskKeys, AskShares, AskUnmask, Consistency, pack_indices
from secagg_protocols.pairwise.stages import Saved

RUN = {"run": b"one training run", "round": 4}
NEXT = RUN | {"round": 5}
KEY = bytes(32)


def made(scheme, party, kind=Prepared, names=RUN, **options):
    prepared = prepare(scheme, Seat(party, **options), **names)
    prepared.__class__ = kind
    return prepared


def session_with(scheme, prepared, **options):
    """One session of the round, in which the victim comes with what it prepared."""
    round_ = TestRound(scheme, make_session(**RUN), UPDATES, **options)
    round_.participants[VICTIM] = Participant(scheme, round_.session, VICTIM, prepared=prepared)
    round_.coordinator = Coordinator(scheme, round_.session, prepared={VICTIM: prepared.message})
    round_.sent["keys", VICTIM] = prepared.message
    return round_


def two_sessions(prepared):
    """The server of a session with the victim and of one that lost it, and the victim's key of the latter."""
    scheme = PairwiseMasking()
    before = session_with(scheme, prepared)
    assert VICTIM in before.run().contributors
    after = session_with(scheme, prepared, lost={VICTIM: "masked"})
    assert VICTIM not in after.run().contributors
    first, second = LyingServer.of(before), LyingServer.of(after)
    return first, second.mask_key(VICTIM, second.shares_of(VICTIM, OTHERS, DEALERS))


def test_prepared_keys_of_two_sessions_open_the_earlier_vector():
    assert_is_update_of(VICTIM, earlier_vector(*two_sessions(made(PairwiseMasking(), VICTIM, NeverUsedUp))))


def test_prepared_keys_serve_one_participant():
    with pytest.raises(LocalMisuse, match="keys serve one round"):
        two_sessions(made(PairwiseMasking(), VICTIM))


def test_a_backup_of_prepared_keys_without_a_ledger_opens_it_too():
    """Whoever keeps what it saved is as weak as the twin: the ledger's latch is what stands in the way."""
    saved = made(PairwiseMasking(), VICTIM).save(KEY)
    scheme = PairwiseMasking()
    before = session_with(scheme, Prepared.restore(saved, KEY))
    before.run()
    after = session_with(scheme, Prepared.restore(saved, KEY), lost={VICTIM: "masked"})
    after.run()
    first, second = LyingServer.of(before), LyingServer.of(after)
    key = second.mask_key(VICTIM, second.shares_of(VICTIM, OTHERS, DEALERS))
    assert_is_update_of(VICTIM, earlier_vector(first, key))


def test_a_ledger_enters_no_round_twice_whatever_is_restored():
    scheme, ledger = PairwiseMasking(), Ledger()
    prepared = made(scheme, VICTIM)
    saved = prepared.save(KEY)
    round_ = session_with(scheme, prepared)
    round_.participants[VICTIM] = Participant(
        scheme,
        round_.session,
        Seat(VICTIM, context=CONTEXT, store=Store(ledger)),
        prepared=Prepared.restore(saved, KEY),
    )
    assert VICTIM in round_.run().contributors
    for ask in ("shares", "keys"):
        again = Participant(
            scheme,
            make_session(**RUN),
            Seat(VICTIM, context=CONTEXT, store=Store(ledger)),
            prepared=Prepared.restore(saved, KEY),
        )
        server = LyingServer(scheme, again.session, {VICTIM: again})
        with pytest.raises(PolicyRefused, match="has entered round 4"):
            server.ask(VICTIM, ask, AskKeys() if ask == "keys" else AskShares(b"", b"", b""))


def test_who_is_asked_for_keys_all_the_same_forgets_what_it_prepared():
    """A server that says it never saw them: it has two advertisements of the victim, and keys behind one."""
    scheme = PairwiseMasking()
    prepared = made(scheme, VICTIM)
    old = codec.decode(prepared._state, Saved).stage
    round_ = session_with(scheme, prepared)
    round_.coordinator = Coordinator(scheme, round_.session)
    assert old.mask in round_.participants[VICTIM].state()
    round_.exchange()
    state, fresh = round_.participants[VICTIM].state(), LyingServer.of(round_).keys(VICTIM)
    for private, public in ((old.sealing, fresh.sealing), (old.mask, fresh.mask)):
        assert private not in state
        assert agreement.public_key(private) != public
    round_.coordinator.close_phase()
    assert VICTIM in round_.run().contributors


ACTIVE = PairwiseMasking(threshold=4, adversary="active")


def first_round():
    """All come prepared; the later ghosts are lost, and the server learns their mask keys as it should."""
    round_ = TestRound(ACTIVE, make_session(**RUN), UPDATES, prepared=range(N), lost=dict.fromkeys(GHOSTS, "masked"))
    assert round_.run().contributors == set(LIVE)
    server = LyingServer.of(round_)
    keys = {g: server.mask_key(g, server.shares_of(g, LIVE, DEALERS)) for g in GHOSTS}
    assert None not in keys.values()
    return round_, server, keys


def second_round(before, old, names, ledgers):
    """Another session: the live ones are asked for keys, the ghosts' advertisements are the old prepared ones."""
    session = make_session(context=b"model 7, round 4", **names)
    live = {
        i: Participant(
            ACTIVE,
            session,
            Seat(
                i,
                policy=Policy(min_cohort=N),
                context=session.context,
                credentials=before.credentials[i],
                store=Store(ledgers[i]) if i in ledgers else None,
            ),
        )
        for i in LIVE
    }
    server = LyingServer(ACTIVE, session, live, before.roster)
    for i in LIVE:
        server.ask(i, "keys", AskKeys())
    server.sent |= {("keys", g): old.sent["keys", g] for g in GHOSTS}
    for i in LIVE:
        server.ask(i, "shares", server.relayed(bits(GHOSTS)))
    for i in LIVE:
        server.ask(i, "masked", relayed(server, i, session.context), UPDATES[i])
    for i in LIVE:
        server.ask(i, "consistency", AskConsistency(bits(range(N))))
    signatures = b"".join(opened(server.sent["consistency", i], Consistency).signature for i in LIVE)
    for i in LIVE:
        server.ask(i, "unmask", AskUnmask(bits(range(N)), pack_indices(LIVE), signatures))
    return server


def test_in_another_session_of_the_round_an_old_one_counts():
    """Without a ledger, or for clients that were not in the first session: all four ask for a cohort of six, and the
    server, which recovered the ghosts' mask keys in the first session, has the sum of four. Two corrupt clients could
    do as much.
    """
    before, old, ghost_keys = first_round()
    server = second_round(before, old, RUN, ledgers={})
    expected = sum(UPDATES[i].astype(np.uint64) for i in LIVE)
    np.testing.assert_array_equal(sum_of_the_live(server, ghost_keys)[: expected.size], expected)


def test_a_ledger_enters_no_second_session_of_a_round():
    before, old, _ = first_round()
    ledgers = {i: Ledger() for i in LIVE}
    for ledger in ledgers.values():
        ledger.enter(*RUN.values())
    with pytest.raises(PolicyRefused, match="round 4 of a run in which this party has entered round 4"):
        second_round(before, old, RUN, ledgers)


@pytest.mark.parametrize("names", [NEXT, RUN | {"run": b"another training"}], ids=["round", "run"])
def test_in_another_round_each_client_refuses_it(names):
    before, old, _ = first_round()
    with pytest.raises(PeerMisbehaved, match="signature does not verify"):
        second_round(before, old, names, ledgers={})


def test_in_no_family_each_client_refuses_it():
    before, old, _ = first_round()
    with pytest.raises(PeerMisbehaved, match="belongs to no run"):
        second_round(before, old, {}, ledgers={})


def test_a_client_shown_its_old_keys_beside_its_new_refuses():
    """It was asked for keys, and the server shows the others what it had prepared."""
    round_ = TestRound(ACTIVE, make_session(**RUN), UPDATES, prepared=[VICTIM])
    prepared = LyingServer.of(round_).keys(VICTIM)
    round_.coordinator = Coordinator(ACTIVE, round_.session, round_.roster)
    round_.exchange()
    server = LyingServer.of(round_)
    shown = server.advertised() | {VICTIM: prepared.sealing + prepared.mask + prepared.signature}
    ask = AskShares(
        pack_indices(range(N)),
        b"".join(key[:64] for key in shown.values()),
        b"".join(key[64:] for key in shown.values()),
        bits([VICTIM]),
    )
    server.ask(0, "shares", ask)  # the others cannot know
    with pytest.raises(PeerMisbehaved, match="other keys in this party's name"):
        server.ask(VICTIM, "shares", ask)

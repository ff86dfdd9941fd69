"""Messages of an earlier round come again: advertisements of clients that are not there and whose keys the server knows
by now (so that a cohort looks larger than it is), in another session or in the very same one, a vector in another
round's sum, an ask to a later round's party (Bonawitz et al. 2017, 6.2, on signed keys; NIST SP 800-57 on replays).
"""

import numpy as np
import pytest
from attacker import UPDATES, LyingServer, N, bits, look_at_no_counter, make_round, make_session, on, pair_key, play

from secagg.api import Coordinator, Participant
from secagg.engine import server as server_module
from secagg.errors import PeerMisbehaved, WireError
from secagg.scheme import Ledger, Policy, Seat, Session, Store
from secagg.testing import opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import (
    HASH_SIZE,
    SEALED_SIZE,
    AskConsistency,
    AskKeys,
    AskMasked,
    AskUnmask,
    Consistency,
    Keys,
    Shares,
    pack_indices,
)

GHOSTS = [4, 5]
LIVE = [0, 1, 2, 3]
SCHEME = PairwiseMasking(threshold=4, adversary="active")
DEALERS = {i: list(range(N)) for i in range(N)}


def first_round():
    """A round in which the later ghosts are lost, and the server learns their mask keys as it should."""
    round_ = make_round(SCHEME, lost=dict.fromkeys(GHOSTS, "masked"))
    assert round_.run().contributors == set(LIVE)
    server = LyingServer.of(round_)
    keys = {g: server.mask_key(g, server.shares_of(g, LIVE, DEALERS)) for g in GHOSTS}
    assert None not in keys.values()
    return round_, server, keys


def row(shares, dealer, holder, size, own):
    """What the dealer sent for the holder: boxes leave the dealer itself out, hashes do not."""
    place = [j for j in range(N) if own or j != dealer].index(holder)
    return shares[size * place : size * (place + 1)]


def second_round(before, ghosts_from, session, context):
    """The live ones, each with a policy of at least N contributors; the ghosts' advertisements are old.

    Session and context are what the server sends again, and what the live ones received themselves.
    """
    roster = before.roster
    live = {
        i: Participant(
            SCHEME,
            session,
            Seat(
                i,
                policy=Policy(min_cohort=N),
                context=context,
                credentials=before.credentials[i],
                store=Store(Ledger()),
            ),
        )
        for i in LIVE
    }
    server = LyingServer(SCHEME, session, live, roster)
    server.bound = derive.binding(session.digest, context, SCHEME.fingerprint, roster.digest)
    for i in LIVE:
        server.ask(i, "keys", AskKeys())
    server.sent |= {("keys", g): ghosts_from.sent["keys", g] for g in GHOSTS}
    for i in LIVE:
        server.ask(i, "shares", server.relayed())
    for i in LIVE:
        server.ask(i, "masked", relayed(server, i, context), UPDATES[i])
    for i in LIVE:
        server.ask(i, "consistency", AskConsistency(bits(range(N))))
    signatures = b"".join(opened(server.sent["consistency", i], Consistency).signature for i in LIVE)
    for i in LIVE:
        server.ask(i, "unmask", AskUnmask(bits(range(N)), pack_indices(LIVE), signatures))
    return server


def relayed(server, i, context):
    """What the others dealt; the ghosts' boxes are empty, which counts as missing shares."""
    sealed, hashes = [], []
    for j in range(N):
        if j in GHOSTS:
            sealed.append(bytes(SEALED_SIZE))
            hashes.append(bytes(2 * HASH_SIZE))
        elif j != i:
            dealt = opened(server.sent["shares", j], Shares)
            sealed.append(row(dealt.sealed, j, i, SEALED_SIZE, own=False))
            hashes.append(row(dealt.hashes, j, i, 2 * HASH_SIZE, own=True))
    dealers = pack_indices(j for j in range(N) if j != i)
    return AskMasked(derive.context_digest(context), dealers, b"".join(sealed), b"".join(hashes))


def sum_of_the_live(server, ghost_keys):
    total = np.zeros(server.session.dim, np.uint64)
    for i in LIVE:
        seed = server.seed(i, server.shares_of(i, LIVE, DEALERS))
        own = i, server.keys(i).mask
        pairs = {g: pair_key(server.bound, key, (g, server.keys(g).mask), own) for g, key in ghost_keys.items()}
        total += server.bare(i, seed, pairs)
    return total % 2**server.session.ring.bits


LATER = b"model 8, round 4"


def again(round_):
    """The session of an earlier round, as the server sends it for the next one."""
    return Session.from_bytes(round_.session.to_bytes())


def another(_round):
    """A session of the next round."""
    return make_session(context=LATER)


@pytest.mark.parametrize(("opened_for", "named"), [(another, ("digest", "context")), (again, ("context",))])
def test_signatures_that_name_no_round_can_be_replayed(monkeypatch, opened_for, named):
    """All four asked for a cohort of six, and the server has the sum of four."""
    statement = derive.advertisement
    left_out = {"digest": slice(0, 1), "context": slice(1, 2)}

    def weakened(*parts):
        parts = list(parts)
        for name in named:
            parts[left_out[name]] = [bytes(32)]
        return statement(*parts)

    monkeypatch.setattr(derive, "advertisement", weakened)
    round_, before, ghost_keys = first_round()
    server = second_round(round_, before, opened_for(round_), LATER)
    expected = sum(UPDATES[i].astype(np.uint64) for i in LIVE)
    np.testing.assert_array_equal(sum_of_the_live(server, ghost_keys)[: expected.size], expected)


@pytest.mark.parametrize("opened_for", [another, again])
def test_a_replayed_advertisement_is_refused_by_each_client(opened_for):
    round_, before, _ = first_round()
    with pytest.raises(PeerMisbehaved, match="signature does not verify"):
        second_round(round_, before, opened_for(round_), LATER)


def test_a_replayed_advertisement_costs_whoever_sends_it():
    """The same identities, the old keys and signatures in a frame of today's round."""
    before, old, _ = first_round()

    def replay(phase, i, message):
        if phase != "keys" or i not in GHOSTS:
            return message
        keys = old.keys(i)
        return rewritten(message, Keys, sealing=keys.sealing, mask=keys.mask, signature=keys.signature)

    today = make_round(SCHEME, replies=replay)
    today.credentials, today.roster = before.credentials, before.roster
    today.coordinator = Coordinator(SCHEME, today.session, today.roster)
    for i in range(N):
        today.participants[i] = Participant(SCHEME, today.session, Seat(i, credentials=today.credentials[i]))
    out = today.run()
    assert out.contributors == set(LIVE)
    assert set(out.misbehaved) == set(GHOSTS)
    assert all("signature does not verify" in why for why in out.misbehaved.values())


def with_an_old_vector(scheme):
    """The network puts a client's vector of an earlier round in place of today's."""
    old = make_round(scheme)
    old.run()
    return make_round(scheme, replies=on("masked", [0], lambda _: old.sent["masked", 0]))


def test_a_server_that_reads_no_tag_sums_an_old_vector_in_silence(monkeypatch):
    monkeypatch.setattr(server_module, "check_header", lambda *_: None)
    monkeypatch.setattr(Coordinator, "_check", lambda *_: None)
    look_at_no_counter(monkeypatch)
    out = with_an_old_vector(PairwiseMasking()).run()
    assert not out.misbehaved
    assert (out.ring_sum != sum(UPDATES[i].astype(np.uint64) for i in range(N))).any()


def test_an_old_vector_costs_its_sender_and_the_sum_is_exact():
    round_ = with_an_old_vector(PairwiseMasking())
    out = round_.run()
    assert set(out.misbehaved) == {0}
    assert "another session" in out.misbehaved[0]
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in range(1, N)))


@pytest.mark.parametrize("phase", ["keys", "shares", "masked", "unmask"])
def test_an_ask_of_another_round_is_refused(phase):
    old = play(make_round(PairwiseMasking()), phase)
    new = play(make_round(PairwiseMasking()), phase)
    with pytest.raises(WireError, match="another session"):
        new.participants[0].answer(old.coordinator.asks()[0], UPDATES[0])

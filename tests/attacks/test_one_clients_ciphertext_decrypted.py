"""A server hands the key holders of a CKKS sum one client's ciphertext instead of the sum (issue 5).

It works, and the threat model says so: holders cannot tell a sum from a single ciphertext, and the number of
contributors is what the server claims. What does hold: each holder decrypts once, for this session, for a claimed
cohort that its policy allows and that it is in itself, and whoever is not named as a holder has erased the key.
"""

from dataclasses import replace

import numpy as np
import pytest
from attacker import UPDATES, VICTIM, N, assert_is_update_of, make_session, reply_of
from oracle import LyingAdder

from secagg.api import Participant
from secagg.encoding.packing import unpack
from secagg.errors import ConfigError, LocalMisuse, PeerMisbehaved, PolicyRefused, TooFew, WireError
from secagg.scheme import Policy
from secagg.testing import TestRound, opened, rewritten
from secagg.wire import frame
from secagg_protocols import CkksSum
from secagg_protocols.ckks.messages import AskDecrypt, Keys


class KeepsItsKey(CkksSum):
    """A holder that does not erase the key when it has decrypted."""

    *before, decrypt = CkksSum.phases
    phases = (*before, replace(decrypt, answer=lambda me, ask, stage: replace(me.decrypt(ask, stage), stage=stage)))


def test_a_holder_decrypts_what_it_is_given():
    server = LyingAdder(CkksSum())
    ask = server.ask(*server.ciphertext(VICTIM))
    assert_is_update_of(VICTIM, server.decrypted(server.holders[0], ask))


def test_a_claimed_cohort_cannot_be_checked():
    """A minimum of all six: six are claimed, and one is in it."""
    server = LyingAdder(CkksSum(), policy=Policy(min_cohort=N))
    ask = server.ask(*server.ciphertext(VICTIM))
    assert_is_update_of(VICTIM, server.decrypted(server.holders[0], ask))


@pytest.mark.parametrize("heard", [False, True])
def test_a_minimum_binds_no_lying_server(heard):
    """A server that does not hear what a client asks for opens a sum of two that holds its vector.

    The one key holder allows sums of two; the victim, which asks for all, holds no key by then and is not asked.
    """
    holder, rest = 0, {i: "encrypted" for i in range(N) if i not in (0, VICTIM)}

    def unheard(phase, party, message):
        return rewritten(message, Keys, least=2) if phase == "keys" and not heard else message

    session = make_session(entropy=bytes)  # which makes party 0 dealer and holder
    round_ = TestRound(CkksSum(1), session, UPDATES, policy=Policy(min_cohort=2), lost=rest, replies=unheard)
    round_.participants[VICTIM] = Participant(round_.scheme, session, VICTIM, Policy(min_cohort=N))
    if heard:
        with pytest.raises(TooFew, match=f"2 parties answered, {N} needed"):
            round_.run()
        return
    np.testing.assert_array_equal(round_.run().ring_sum - UPDATES[holder], UPDATES[VICTIM])


def test_a_claim_under_the_minimum_is_refused_and_ends_the_key():
    server = LyingAdder(CkksSum(holders=N))
    ciphertext = server.ciphertext(VICTIM)
    with pytest.raises(PolicyRefused, match="sum over 2 parties"):
        server.decrypted(0, server.ask(*ciphertext, contributors=[0, VICTIM]))
    with pytest.raises(LocalMisuse, match="left the round"):
        server.decrypted(0, server.ask(*ciphertext))
    assert server.round.participants[0]._machine is None


def test_a_claim_without_the_holder_is_refused():
    server = LyingAdder(CkksSum(holders=N))
    with pytest.raises(PeerMisbehaved, match="leaves this party's vector out"):
        server.decrypted(0, server.ask(*server.ciphertext(VICTIM), contributors=range(1, N)))


def asked_twice(scheme):
    """The one holder's own machine, without an engine that knows that it has answered."""
    server = LyingAdder(scheme)
    (holder,) = server.holders
    asks = opened(server.round.coordinator.asks()[holder], AskDecrypt), server.ask(*server.ciphertext(VICTIM))
    machine = server.round.participants[holder]._machine
    replies = [reply_of(machine, scheme.phases[-1], ask) for ask in asks]
    return [unpack(reply.vector, server.session.dim, server.session.ring) for reply in replies]


def test_a_holder_that_keeps_its_key_opens_the_sum_and_the_victim():
    total, victims = asked_twice(KeepsItsKey(holders=1))
    np.testing.assert_array_equal(total[:-2], sum(UPDATES[i].astype(np.uint64) for i in range(N)))
    assert_is_update_of(VICTIM, victims)


def test_a_holder_that_erases_it_opens_the_sum_alone():
    with pytest.raises(PeerMisbehaved, match="did not name as a key holder"):
        asked_twice(CkksSum(holders=1))


def test_a_holder_decrypts_once():
    server = LyingAdder(CkksSum(holders=1))
    (holder,) = server.holders
    ask = server.round.coordinator.asks()[holder]
    participant = server.round.participants[holder]
    reply = participant.answer(ask)
    assert participant.answer(ask) == reply  # the same ask again: the same bytes
    with pytest.raises(PeerMisbehaved, match="did not name as a key holder"):
        participant._machine.read(CkksSum.phases[-1], server.ask(*server.ciphertext(VICTIM)))
    with pytest.raises(PeerMisbehaved, match="a second, different ask in phase 'decrypt'"):
        server.decrypted(holder, server.ask(*server.ciphertext(VICTIM)))
    with pytest.raises(LocalMisuse, match="left the round"):
        participant.answer(ask)


def test_who_is_no_holder_has_erased_the_key():
    server = LyingAdder(CkksSum(holders=1))
    ask = server.ask(*server.ciphertext(VICTIM))
    for party in set(range(N)) - set(server.holders):
        with pytest.raises(PeerMisbehaved, match="did not name as a key holder"):
            server.decrypted(party, ask)


def test_an_ask_of_another_session_is_refused():
    """The same parties, the same model, another round: no holder decrypts an earlier round's ciphertexts."""
    earlier, now = LyingAdder(CkksSum()), LyingAdder(CkksSum())
    holder = now.holders[0]
    ask = frame.unwrap(earlier.round.coordinator.asks()[earlier.holders[0]])
    data = frame.wrap(ask.direction, ask.phase, holder, ask.tag, ask.answers, ask.body)
    with pytest.raises(WireError, match="another session"):
        now.round.participants[holder].answer(data, None)


def test_another_rounds_key_opens_nothing():
    """Relabelled as this session's the old ciphertexts are decrypted, to noise: every round has a key of its own."""
    earlier, now = LyingAdder(CkksSum()), LyingAdder(CkksSum())
    found = now.decrypted(now.holders[0], now.ask(*earlier.ciphertext(VICTIM)))
    assert (found[:-2] == UPDATES[VICTIM]).sum() < 3


def test_a_mode_that_would_withstand_it_is_not_claimed():
    with pytest.raises(ConfigError, match="key holders decrypt what the server hands them"):
        CkksSum(adversary="active")


def test_the_honest_sum():
    out = LyingAdder(CkksSum()).round.run()
    np.testing.assert_array_equal(out.ring_sum, sum(UPDATES[i].astype(np.uint64) for i in range(N)))

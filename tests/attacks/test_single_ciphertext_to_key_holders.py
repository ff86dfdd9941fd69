"""The server hands the key holders one client's ciphertexts and says that it is everybody's sum (issue 4).

It works: holders of a Paillier key cannot tell a sum from anything else, which is why the server is trusted to follow
the protocol, and why `adversary="active"` is refused. What is refused is what a holder can see.
"""

from dataclasses import replace

import numpy as np
import pytest
from attacker import UPDATES, VICTIM, assert_is_update_of
from paillier_twins import BITS, KEYS, AnswersAgain, N, Opens, ask, keys_are_small, make_round, played
from twins import NoMinimum

from secagg.errors import ConfigError, PeerMisbehaved, PolicyRefused, TooFew, WireError
from secagg.scheme import Ledger, Store
from secagg.testing import opened, rewritten
from secagg.wire.packed import pack_set
from secagg_protocols import PaillierSum
from secagg_protocols.paillier.messages import AskDecrypt, Decrypted, Encrypted, context_digest

__all__ = ["keys_are_small"]

CONTEXT_DIGEST = context_digest(b"model 7, round 3")
KINDS = {"fresh": lambda: PaillierSum(BITS), "two of three": lambda: PaillierSum(keys=KEYS)}
every_kind = pytest.mark.parametrize("kind", KINDS)


def question(round_, contributors, parties):
    """The ask for the product of some clients' ciphertexts, said to be of `contributors`."""
    server = Opens(round_)
    key, total = server.opening.public, None
    for party in parties:
        reply = opened(round_.sent["encrypted", party], Encrypted)
        values = key.read_ciphertexts(reply.ciphertexts, server.parameters.slots.plaintexts)
        total = values if total is None else key.add(total, values)
    return AskDecrypt(CONTEXT_DIGEST, pack_set(contributors, len(round_.session.parties)), key.write_ciphertexts(total))


def vector_from(round_, replies):
    """What holders' answers open."""
    server = Opens(round_)
    slots, opening = server.parameters.slots, server.opening
    values = {
        server.numbers[i]: opening.read(opened(reply, Decrypted).values, slots.plaintexts)
        for i, reply in replies.items()
    }
    return slots.unpack(opening.combine(values))


def holders(round_):
    server = Opens(round_)
    return server.reachable[: server.opening.threshold]


@every_kind
def test_holders_open_a_single_update_that_is_called_a_sum(kind):
    """Succeeds against ours: the assumption of an honest-but-curious server is this."""
    round_ = played(make_round(KINDS[kind]()), "decrypt")
    message = question(round_, range(N), [VICTIM])
    replies = {i: ask(round_, i, "decrypt", message) for i in holders(round_)}
    assert_is_update_of(VICTIM, vector_from(round_, replies))


@every_kind
def test_an_active_server_is_not_claimed_to_be_withstood(kind):
    keys = KINDS[kind]().keys
    with pytest.raises(ConfigError, match="open what the server hands them"):
        PaillierSum(keys=keys, adversary="active")


@every_kind
def test_holders_without_a_minimum_open_what_is_called_one_vector(kind):
    round_ = played(make_round(KINDS[kind](), policy=NoMinimum()), "decrypt")
    chosen = holders(round_)
    for i in chosen:
        message = question(round_, [*chosen], [VICTIM])
        assert ask(round_, i, "decrypt", message)


@every_kind
def test_a_sum_of_two_is_refused_where_the_server_says_so(kind):
    round_ = played(make_round(KINDS[kind]()), "decrypt")
    chosen = holders(round_)
    message = question(round_, {*chosen, VICTIM} if len(chosen) == 1 else chosen, [VICTIM])
    for i in chosen:
        with pytest.raises(PolicyRefused, match="sum over 2 parties: this party's policy asks for at least 3"):
            ask(round_, i, "decrypt", message)


def test_a_holder_that_answers_again_gives_the_sum_and_then_the_update():
    scheme = AnswersAgain(keys=KEYS)
    round_ = played(make_round(scheme), "decrypt")
    found = []
    for parties in (range(N), [VICTIM]):
        message = question(round_, range(N), parties)
        replies = {}
        for i in holders(round_):
            round_.participants[i]._round.answered = {}  # the engine's own memory
            round_.participants[i]._roles = {"holder"}
            replies[i] = ask(round_, i, "decrypt", message)
        found.append(vector_from(round_, replies))
    np.testing.assert_array_equal(found[0][:-2], sum(UPDATES[i].astype(np.uint64) for i in range(N)))
    assert_is_update_of(VICTIM, found[1])


@every_kind
def test_after_the_sum_no_second_question_is_answered(kind):
    round_ = played(make_round(KINDS[kind]()), "decrypt")
    chosen, message = holders(round_), question(round_, range(N), [VICTIM])
    round_.step()
    for i in chosen:
        with pytest.raises(PeerMisbehaved, match="a second, different ask in phase 'decrypt'"):
            ask(round_, i, "decrypt", message)


def test_another_session_s_ciphertexts_under_this_session_s_ask():
    """Keys that outlive rounds open old ciphertexts too, as the same lie: an old update called this round's sum."""
    before = played(make_round(PaillierSum(keys=KEYS)), "decrypt")
    message = question(before, range(N), [VICTIM])
    round_ = played(make_round(PaillierSum(keys=KEYS)), "decrypt")
    replies = {i: ask(round_, i, "decrypt", message) for i in holders(round_)}
    assert_is_update_of(VICTIM, vector_from(round_, replies))


def test_another_session_s_ask_is_refused():
    before = played(make_round(PaillierSum(keys=KEYS)), "decrypt")
    asks = before.coordinator.asks()
    round_ = played(make_round(PaillierSum(keys=KEYS)), "decrypt")
    for i in holders(round_):
        with pytest.raises(WireError, match="another session"):
            round_.participants[i].answer(asks[i])


def test_fresh_keys_open_no_other_round():
    before = played(make_round(PaillierSum(BITS)), "decrypt")
    message = question(before, range(N), [VICTIM])
    round_ = played(make_round(PaillierSum(BITS)), "decrypt")
    vector = Opens(round_).parameters.slots
    (holder,) = holders(round_)
    try:
        reply = ask(round_, holder, "decrypt", message)
    except WireError:  # larger than this round's n squared
        return
    values = Opens(round_).opening.read(opened(reply, Decrypted).values, vector.plaintexts)
    with pytest.raises(PeerMisbehaved, match="leaves its slots"):
        vector.unpack(values)


def test_a_second_cohort_under_one_context_is_refused_with_a_ledger():
    ledger = Ledger()
    round_ = played(make_round(PaillierSum(keys=KEYS)), "decrypt")
    ledger.add(b"model 7, round 3", round_.session.encoding.digest, frozenset(range(N - 1)))
    for i in holders(round_):
        machine = round_.participants[i]._machine
        machine.seat = replace(machine.seat, store=Store(ledger))
        with pytest.raises(PolicyRefused, match="second sum of updates of the same model"):
            ask(round_, i, "decrypt", question(round_, range(N), range(N)))


def test_a_small_cohort_by_the_engine_s_own_way_ends_without_a_sum():
    small = pack_set([0, 1], N)
    round_ = make_round(
        PaillierSum(keys=KEYS),
        asks=lambda at, i, m: rewritten(m, AskDecrypt, contributors=small) if at == "decrypt" else m,
    )
    with pytest.raises(TooFew, match="0 key holders answered, 2 needed"):
        round_.run()

"""A server asks for a client's seed and for its mask key too: of different neighbours (Bonawitz et al. 2017, 6.2), or
of the same ones, as open frameworks still allow; with both it takes every mask off the client's vector.
"""

import pytest
from attacker import OTHERS, VICTIM, LyingServer, N, assert_is_update_of, bits, machine, make_round, on, play, reply_of
from twins import AnswersAgain, AnyThreshold

from secagg.errors import OutOfRange, PeerMisbehaved
from secagg.testing import rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import AskConsistency, AskUnmask

DEALERS = {i: list(range(N)) for i in range(N)}
WITHOUT_VICTIM = bits(OTHERS)


def both_secrets(scheme, told_it_was_lost):
    """Some clients hear that the victim was lost, the others that it contributed."""

    def lie(message):
        return rewritten(message, AskUnmask, contributors=WITHOUT_VICTIM)

    round_ = play(make_round(scheme, asks=on("unmask", told_it_was_lost, lie)), "unmask")
    round_.exchange()
    server = LyingServer.of(round_)
    told_it_contributed = [i for i in range(N) if i not in told_it_was_lost]
    seed = server.seed(VICTIM, server.shares_of(VICTIM, told_it_contributed, DEALERS))
    key = server.mask_key(VICTIM, server.shares_of(VICTIM, told_it_was_lost, DEALERS))
    return round_, server, seed, key


def test_half_a_threshold_gives_both_and_the_vector():
    _, server, seed, key = both_secrets(AnyThreshold(threshold=3), [0, 1, 2])
    assert_is_update_of(VICTIM, server.bare(VICTIM, seed, server.pairs(VICTIM, key, server.mask_publics(VICTIM))))


@pytest.mark.parametrize("size", range(1, N))
@pytest.mark.parametrize("threshold", [4, None])
def test_more_than_half_gives_one_or_none_however_they_are_split(size, threshold):
    _, _, seed, key = both_secrets(PairwiseMasking(threshold=threshold), OTHERS[:size])
    assert seed is None or key is None


def test_half_a_threshold_is_refused_before_the_first_message():
    with pytest.raises(OutOfRange, match=r"threshold is 3: expected 4\.\.6"):
        make_round(PairwiseMasking(threshold=3))


def test_in_active_mode_the_second_story_is_refused():
    round_, _, seed, key = both_secrets(PairwiseMasking(adversary="active"), [0, 1, 2])
    assert (seed, key) == (None, None)
    assert set(round_.refusals) == {0, 1, 2}
    for error in round_.refusals.values():
        assert isinstance(error, PeerMisbehaved)
        assert "another set than this party signed" in str(error)
        assert not error.culprits  # the server


def ask_twice(round_):
    """Both questions to each client's own machine."""
    server = LyingServer.of(play(round_, "unmask"))
    answers = []
    for contributors in (bits(range(N)), WITHOUT_VICTIM):
        phase, ask = round_.scheme.phases[-1], AskUnmask(contributors, b"", b"")
        answers.append({i: reply_of(machine(round_.participants[i]), phase, ask) for i in OTHERS})
    of_seed, of_key = ({i: server.row(reply, DEALERS[i], VICTIM) for i, reply in given.items()} for given in answers)
    return server, server.seed(VICTIM, of_seed), server.mask_key(VICTIM, of_key)


def test_the_same_neighbours_asked_twice_give_both():
    server, seed, key = ask_twice(make_round(AnswersAgain()))
    assert_is_update_of(VICTIM, server.bare(VICTIM, seed, server.pairs(VICTIM, key, server.mask_publics(VICTIM))))


def test_nothing_is_left_to_answer_a_second_time():
    with pytest.raises(PeerMisbehaved, match="AskUnmask after stage Finished"):
        ask_twice(make_round(PairwiseMasking()))


def test_a_machine_signs_one_set():
    """Two signed sets would be two stories, each with a threshold behind it."""
    party = machine(play(make_round(PairwiseMasking(adversary="active")), "unmask").participants[0])
    consistency = next(phase for phase in PairwiseMasking(adversary="active").phases if phase.ask is AskConsistency)
    for contributors in (WITHOUT_VICTIM, bits(range(N))):
        with pytest.raises(PeerMisbehaved, match="a signature of a second set"):
            party.read(consistency, AskConsistency(contributors))


def test_a_second_question_never_reaches_the_secrets():
    round_ = play(make_round(PairwiseMasking(), asks=lambda phase, _, m: None if phase == "unmask" else m), "unmask")
    server = LyingServer.of(round_)
    server.ask(0, "unmask", AskUnmask(bits(range(N)), b"", b""))
    with pytest.raises(PeerMisbehaved, match="second, different ask") as error:
        server.ask(0, "unmask", AskUnmask(WITHOUT_VICTIM, b"", b""))
    assert not error.value.culprits

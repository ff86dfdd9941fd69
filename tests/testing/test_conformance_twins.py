"""Schemes that are deaf to what a party brings fail the exam: each law goes red for the twin that breaks it alone."""

from dataclasses import replace
from functools import partial

import pytest

from secagg.errors import PeerMisbehaved
from secagg.scheme import Answer, Seat, ServerStage
from secagg.testing.conformance import SchemeConformance
from secagg_protocols import CkksSum, PairwiseMasking
from secagg_protocols.pairwise import server as pairwise_server

LAWS = {
    "own context": lambda exam: exam.test_a_party_s_own_word_decides_what_it_adds_to(),
    "ledger, cohort": lambda exam: exam.test_a_party_s_own_ledger_decides_what_it_opens("a party less"),
    "ledger, encoding": lambda exam: exam.test_a_party_s_own_ledger_decides_what_it_opens("another encoding"),
    "policy": lambda exam: exam.test_no_sum_is_opened_under_the_policy_s_cohort(),
    "secrets": lambda exam: exam.test_no_secret_shows(),
    "state": lambda exam: exam.test_restored_at_every_boundary(),
    "training": lambda exam: exam.test_who_refuses_an_ask_has_not_trained_and_answers_no_other(),
    "merge": lambda exam: exam.test_two_servers_of_one_round_merge("half"),
}


def deaf(change):
    """A scheme whose machines sit on another seat than their party's."""

    def party(scheme, kind, session, seat, saved=None):
        return kind.party(scheme, session, change(session, seat), saved)

    def of(kind):
        return type(f"Deaf{kind.__name__}", (kind,), {"party": lambda self, *args: party(self, kind, *args)})

    return of


to_context = deaf(lambda session, seat: replace(seat, context=session.context))
to_store = deaf(lambda session, seat: replace(seat, store=None))
to_policy = deaf(lambda session, seat: replace(seat, policy=type(seat.policy)(min_cohort=2)))
to_all = deaf(lambda session, seat: Seat(seat.party, context=session.context, entropy=seat.entropy))


class Talks(PairwiseMasking):
    """Its first stage shows the keys that it holds."""

    def __init__(self):
        super().__init__()
        keys, *others = self.phases
        self.phases = (replace(keys, answer=partial(self._advertise, keys.answer)), *others)

    @staticmethod
    def _advertise(advertise, machine, ask, stage):
        answer = advertise(machine, ask, stage)
        machine.note = answer.stage.mask.hex()
        return Answer(answer.stage, answer.reply)


class Late(PairwiseMasking):
    """Checks what is asked of it when its vector is there."""

    def __init__(self):
        super().__init__()
        self.phases = tuple(
            replace(phase, answer=partial(self._late, phase.answer)) if phase.takes_input else phase
            for phase in self.phases
        )

    @staticmethod
    def _late(submit, machine, ask, stage):
        def masked(vector):
            return submit(machine, ask, stage)(vector)

        return masked


class Forgetful(pairwise_server.Masking):
    """Saves no vector."""

    def settle(self, round):
        self.vector[:] = bytes(len(self.vector))


class Halving(pairwise_server.Masking):
    """Merges nothing."""

    def merge(self, round, other):
        pass


def with_masking(stage: type[ServerStage]):
    class Twin(PairwiseMasking):
        def __init__(self):
            super().__init__()
            self.phases = tuple(
                replace(phase, server=stage) if phase.name == "masked" else phase for phase in self.phases
            )

    return Twin


def dealing_to(stage):
    """The stage before names the next one's class, so the twin's is put there."""

    class Dealing(pairwise_server.Dealing):
        def close(self, round, phase, answered):
            masking = super().close(round, phase, answered)
            return stage(masking.dealt, masking.sealed, masking.vector)

    class Twin(with_masking(stage)):
        def __init__(self):
            super().__init__()
            self.phases = tuple(
                replace(phase, server=Dealing) if phase.name == "shares" else phase for phase in self.phases
            )

    return Twin


TWINS = {
    ("pairwise, deaf to its context", "own context"): to_context(PairwiseMasking),
    ("pairwise, deaf to its ledger", "ledger, cohort"): to_store(PairwiseMasking),
    ("pairwise, deaf to its ledger ", "ledger, encoding"): to_store(PairwiseMasking),
    ("pairwise, deaf to its policy", "policy"): to_policy(PairwiseMasking),
    ("ckks, deaf to its context", "own context"): to_context(CkksSum),
    ("ckks, deaf to its ledger", "ledger, cohort"): to_store(CkksSum),
    ("ckks, deaf to its ledger ", "ledger, encoding"): to_store(CkksSum),
    ("ckks, deaf to all", "own context"): to_all(CkksSum),
    ("pairwise that talks", "secrets"): Talks,
    ("pairwise that forgets its vector", "state"): dealing_to(Forgetful),
    ("pairwise that looks when it has trained", "training"): Late,
    ("pairwise that merges nothing", "merge"): dealing_to(Halving),
}


def exam(make):
    return type("Exam", (SchemeConformance,), {"make": lambda self, n: make(), "__test__": False})()


@pytest.mark.parametrize(("name", "law"), TWINS, ids=lambda text: text.strip())
def test_a_twin_fails_the_law_that_it_breaks(name, law):
    with pytest.raises((AssertionError, pytest.fail.Exception, PeerMisbehaved)):  # of a sum that is no sum
        LAWS[law](exam(TWINS[name, law]))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scheme", [PairwiseMasking, CkksSum])
def test_ours_pass_it(scheme, law):
    LAWS[law](exam(scheme))

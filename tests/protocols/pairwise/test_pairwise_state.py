"""What no server of this round saves is refused: each phase's stage, with one thing in it that cannot be."""

from typing import Any

import numpy as np
import pytest
from saved import Change, beside, both, changed, open_at, put, restored, to, without

from secagg.api import Coordinator
from secagg.engine import progress as engine
from secagg.errors import PartyId, StateError
from secagg.scheme import Credentials, Session
from secagg.testing import SeededEntropy, TestRound
from secagg.wire import codec
from secagg_protocols import PairwiseMasking

N = 6
SCHEMES = {
    "complete": PairwiseMasking(),
    "regular": PairwiseMasking(neighbours=4, threshold=3),
    "active": PairwiseMasking(adversary="active"),
}
UPDATES: dict[PartyId, np.ndarray] = {i: np.arange(5, dtype=np.uint16) + i for i in range(N)}


def at(scheme: PairwiseMasking, phase: str) -> TestRound:
    """In the middle of a phase at which one client is lost."""
    lost: dict[PartyId, str] = {N - 1: phase}
    return open_at(TestRound(scheme, Session.create(range(N), UPDATES[0]), UPDATES, lost=lost), phase)


def fewest(entries: dict[int, Any]) -> dict[int, Any]:
    return dict(list(entries.items())[:2])


def roll(at: str) -> dict[str, Change]:
    """Of the keys, which lie at this path once phase "keys" has closed."""
    return {
        "keys of an index above": put(f"{at}.keys", beside(N)),
        "keys of an index below": put(f"{at}.keys", beside(-1)),
        "prepared by one without keys": both(put(f"{at}.keys", without(N - 1)), put(f"{at}.prepared", to({N - 1}))),
    }


def dealt(at: str) -> dict[str, Change]:
    """Of what was dealt, once phase "shares" has closed."""
    return roll(f"{at}.roll") | {
        "a member above": put(f"{at}.members", lambda members: members | {N}),
        "a member without keys": put(f"{at}.roll.keys", without(0)),
        "a member without a commitment": put(f"{at}.commitments", without(0)),
        "a member without hashes": put(f"{at}.hashes", without(0)),
        "too few members": put(f"{at}.members", lambda members: frozenset(sorted(members)[:2])),
    }


def summed(at: str) -> dict[str, Change]:
    """Of the masked sum, once phase "masked" has closed."""
    return dealt(f"{at}.dealt") | {
        "a vector that is cut": put(f"{at}.vector", lambda vector: vector[:-1]),
        "a longer vector": put(f"{at}.vector", lambda vector: vector + b"\0"),
        "a contributor above": put(f"{at}.contributors", lambda contributors: contributors | {N}),
        "a contributor that is no member": put(f"{at}.dealt.members", lambda members: frozenset(sorted(members)[1:])),
    }


DEALT = ("commitments", "sealed", "hashes")
STAGES: dict[str, dict[str, Change]] = {
    "keys": {
        "keys of an index above": put("roll.keys", beside(N)),
        "keys of an index below": put("roll.keys", beside(-1)),
        "prepared by an index above": put("roll.prepared", to({N})),
        "prepared by an index below": put("roll.prepared", to({-1})),
    },
    "shares": roll("roll")
    | {
        "keys of too few": both(put("roll.keys", fewest), *(put(name, to({})) for name in DEALT)),
        "a dealer above": both(*(put(name, beside(N)) for name in DEALT)),
        "a dealer without keys": put("roll.keys", without(0)),
        "a dealer that is forgotten": both(*(put(name, without(1)) for name in DEALT)),
        "a dealer without a commitment": put("commitments", without(0)),
        "a dealer without boxes": put("sealed", without(0)),
        "a dealer without hashes": put("hashes", without(0)),
    },
    "masked": dealt("dealt")
    | {
        "a vector that is cut": put("vector", lambda vector: vector[:-1]),
        "a longer vector": put("vector", lambda vector: vector + b"\0"),
    },
    "consistency": summed("summed")
    | {
        "a signature of an index above": put("signatures", beside(N)),
        "a signature of an index below": put("signatures", beside(-1)),
        "a contributor that is asked, and forgotten": put(
            "summed.contributors", lambda contributors: contributors - {1}
        ),
    },
    "unmask": summed("summed")
    | {
        "a signature of an index above": put("signatures", beside(N)),
        "a signature of an index below": put("signatures", beside(-1)),
        "a contributor that is asked, and forgotten": put(
            "summed.contributors", lambda contributors: contributors - {1}
        ),
        "nothing of a dealer above": put("missing", to({N: [0]})),
        "nothing of a dealer below": put("missing", to({-1: [0]})),
        "nothing at a holder above": put("missing", to({0: [N]})),
        "nothing at a holder below": put("missing", to({0: [-1]})),
        "points of fewer secrets": put("points", lambda points: points[:-8]),
        "shares of fewer secrets": put("values", lambda values: values[:-8]),
        "points and shares of no secret": both(put("points", to(bytearray())), put("values", to(bytearray()))),
    },
}
CASES = [
    (name, phase.name, what)
    for name, scheme in SCHEMES.items()
    for phase in scheme.phases
    for what in STAGES[phase.name]
]


@pytest.mark.parametrize(("scheme", "phase", "what"), CASES)
def test_a_stage_of_another_round_is_refused(scheme: str, phase: str, what: str) -> None:
    round_ = at(SCHEMES[scheme], phase)
    assert restored(round_, changed(round_, lambda stage: None)).phase == phase
    with pytest.raises(StateError, match="not a saved server"):
        restored(round_, changed(round_, STAGES[phase][what]))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_server_of_a_larger_session_is_another_round_s(scheme: str) -> None:
    """Members and contributors above the session's parties, all of whose keys are there."""
    make = SCHEMES[scheme]
    larger: dict[PartyId, np.ndarray] = dict.fromkeys(range(N + 2), UPDATES[0])
    credentials = Credentials.generate(range(N), SeededEntropy(1))
    small = Coordinator(make, Session.create(range(N), UPDATES[0]), credentials[0].roster)
    for phase in make.phases:
        round_ = open_at(TestRound(make, Session.create(range(N + 2), UPDATES[0]), larger), phase.name)
        theirs, ours = (codec.load(each.state(), engine.Saved) for each in (round_.coordinator, small))
        ours.stage, ours.round.phase = theirs.stage, theirs.round.phase
        with pytest.raises(StateError, match="not a saved server"):
            Coordinator.of_state(make, codec.encode(ours), credentials[0].roster)

"""What no server of this round saves is refused: each phase's stage, with one thing in it that cannot be."""

from typing import Any

import numpy as np
import pytest
from saved import Change, beside, changed, open_at, put, restored, to, without

from secagg.errors import PartyId, StateError
from secagg.scheme import Session
from secagg.testing import TestRound
from secagg_protocols import CkksSum

N = 6
UPDATES: dict[PartyId, np.ndarray] = {i: np.arange(5, dtype=np.uint16) + i for i in range(N)}


def at(phase: str) -> TestRound:
    """In the middle of a phase; parties 0, 1 and 2 are asked first."""
    session = Session.create(range(N), UPDATES[0], entropy=bytes)
    return open_at(TestRound(CkksSum(), session, UPDATES), phase)


def cut(data: bytes) -> bytes:
    return data[:-1]


def all_ones(data: bytes) -> bytes:
    return type(data)(b"\xff" * len(data))


def cut_boxes(stage: Any) -> None:
    deal = stage.deal
    stage.deal = type(deal)(deal.commitment, deal.sealed[:-1])


ROLL: dict[str, Change] = {
    "a key of an index above": put("roll.keys", beside(N)),
    "keys of indices above": lambda stage: [put(f"roll.{name}", beside(N))(stage) for name in ("keys", "least")],
    "keys of indices below": lambda stage: [put(f"roll.{name}", beside(-1))(stage) for name in ("keys", "least")],
    "a key without its least cohort": put("roll.least", without(5)),
    "a least cohort without a key": put("roll.keys", without(5)),
}
STAGES: dict[str, dict[str, Change]] = {
    "keys": ROLL
    | {
        "a party that is forgotten": lambda stage: [
            put(f"roll.{name}", without(1))(stage) for name in ("keys", "least")
        ]
    },
    "deal": ROLL
    | {
        "a dealer above": put("dealer", to(N)),
        "a dealer below": put("dealer", to(-1)),
        "a dealer that has not answered": put("dealer", lambda dealer: (dealer + 3) % N),
        "a deal without a dealer": put("dealer", to(None)),
        "a dealer without a deal": put("deal", to(None)),
    },
    "encrypted": ROLL
    | {
        "a dealer above": put("dealer", to(N)),
        "a dealer without a key": lambda stage: [put(f"roll.{name}", without(0))(stage) for name in ("keys", "least")],
        "boxes of fewer": cut_boxes,
        "a holder above": put("holders", to(frozenset({N}))),
        "a holder below": put("holders", to(frozenset({-1}))),
        "an accuser above": put("keyless", to({N})),
        "an accuser below": put("keyless", to({-1})),
        "a sum that is cut": put("body", cut),
        "a longer sum": put("body", lambda body: body + bytes(8)),
        "a coefficient that is not below the modulus": put("body", all_ones),
        "halves that are cut": put("masks", cut),
        "halves that are not below the modulus": put("masks", all_ones),
    },
    "decrypt": {
        "a contributor above": put("contributors", lambda contributors: contributors | {N}),
        "a contributor below": put("contributors", lambda contributors: contributors | {-1}),
        "a holder above": put("holders", lambda holders: holders | {N}),
        "a holder below": put("holders", lambda holders: holders | {-1}),
        "a holder that is asked, and forgotten": put("holders", to(frozenset())),
        "an answer that is forgotten": put("answers", to({})),
        "an answer of an index above": put("answers", beside(N)),
        "an answer of an index below": put("answers", beside(-1)),
        "an answer that is cut": put("answers", lambda answers: answers | {0: answers[0][:-1]}),
        "a sum that is cut": put("body", cut),
        "a coefficient that is not below the modulus": put("body", all_ones),
        "halves that are cut": put("masks", cut),
        "no halves": put("masks", to(b"")),
        "halves that are not below the modulus": put("masks", all_ones),
    },
}


@pytest.mark.parametrize(("phase", "what"), [(phase, what) for phase in STAGES for what in STAGES[phase]])
def test_a_stage_of_another_round_is_refused(phase: str, what: str) -> None:
    round_ = at(phase)
    assert restored(round_, changed(round_, lambda stage: None)).phase == phase
    with pytest.raises(StateError, match="not a saved server"):
        restored(round_, changed(round_, STAGES[phase][what]))

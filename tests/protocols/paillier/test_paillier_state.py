"""What no server of this round saves is refused: each phase's stage, with one thing in it that cannot be."""

import pytest
from saved import Change, beside, both, changed, open_at, put, restored, to, without
from smallkeys import BITS, keys_of, make_round, updates_of

from secagg.errors import StateError
from secagg.primitives import paillier
from secagg.testing import SeededEntropy, TestRound
from secagg_protocols import PaillierSum

N = 5
AUDITOR = N
"""The helper's index, where there is one."""
UPDATES = updates_of(N)
FRESH, SHARED = "fresh", "shared"
KINDS = {
    FRESH: lambda: PaillierSum(BITS),
    SHARED: lambda: PaillierSum(keys=keys_of((0, 1, "auditor"), 2), helpers=["auditor"]),
}


def at(kind: str, phase: str) -> TestRound:
    return open_at(make_round(KINDS[kind](), UPDATES), phase)


def smaller(_: bytes) -> bytes:
    """A sound key of fewer bits."""
    return paillier.generate(BITS - 16, SeededEntropy(1)).public.to_bytes()


OF_A_FRESH_KEY: dict[str, Change] = {
    "no key": both(put("key.holder", to(None)), put("key.public", to(b""))),
    "a key of nobody": put("key.holder", to(None)),
    "a holder without a key": put("key.public", to(b"")),
    "a holder above": put("key.holder", to(N)),
    "a holder below": put("key.holder", to(-1)),
    "a key that is cut": put("key.public", lambda key: key[:-1]),
    "a key of another size": put("key.public", smaller),
}
OF_A_DEALT_KEY: dict[str, Change] = {
    "a fresh key": both(put("key.holder", to(0)), put("key.public", to(bytes(64)))),
    "a holder": put("key.holder", to(0)),
    "a key without a holder": put("key.public", to(bytes(64))),
}
ADDED: dict[str, Change] = {
    "a least cohort of a party above": put("least", beside(N + 1)),
    "a least cohort of a party below": put("least", beside(-1)),
    "a client whose least cohort is forgotten": put("least", without(1)),
    "least cohorts without a sum": put("total", to(b"")),
    "a sum without least cohorts": put("least", to({})),
    "a sum that is cut": put("total", lambda total: total[:-1]),
    "a sum of another size": put("total", lambda total: total + total),
    "a ciphertext of zero": put("total", lambda total: bytes(len(total) // 2) + total[len(total) // 2 :]),
}
OPENED: dict[str, Change] = {
    "a contributor above": put("contributors", lambda contributors: contributors | {N + 1}),
    "a contributor below": put("contributors", lambda contributors: contributors | {-1}),
    "a sum that is cut": put("total", lambda total: total[:-1]),
    "a sum of another size": put("total", lambda total: total + total),
    "a ciphertext of zero": put("total", lambda total: bytes(len(total) // 2) + total[len(total) // 2 :]),
    "values of holder 0": put("values", beside(0)),
    "values of a holder above": put("values", beside(4)),
    "values that are cut": put("values", lambda values: {number: value[:-1] for number, value in values.items()}),
    "values too large": put("values", lambda values: {number: b"\xff" * len(v) for number, v in values.items()}),
}
STAGES: dict[tuple[str, str], dict[str, Change]] = {
    (FRESH, "deal"): {
        "an offer that is forgotten": put("offers", without(0)),
        "an offer above": put("offers", beside(N)),
        "an offer below": put("offers", beside(-1)),
        "an offer of nothing": put("offers", lambda offers: offers | {0: b""}),
        "an offer that is cut": put("offers", lambda offers: offers | {0: offers[0][:-1]}),
        "an offer of another size": put("offers", lambda offers: offers | {0: smaller(offers[0])}),
    },
    (FRESH, "encrypted"): OF_A_FRESH_KEY | ADDED,
    (FRESH, "decrypt"): OF_A_FRESH_KEY | OPENED,
    (SHARED, "encrypted"): OF_A_DEALT_KEY | ADDED | {"a helper's least cohort": put("least", beside(AUDITOR))},
    (SHARED, "decrypt"): OF_A_DEALT_KEY
    | OPENED
    | {"a helper among them": put("contributors", lambda them: them | {AUDITOR})},
}


@pytest.mark.parametrize(("kind", "phase", "what"), [(*place, what) for place in STAGES for what in STAGES[place]])
def test_a_stage_of_another_round_is_refused(kind: str, phase: str, what: str) -> None:
    round_ = at(kind, phase)
    assert restored(round_, changed(round_, lambda stage: None)).phase == phase
    with pytest.raises(StateError, match="not a saved server"):
        restored(round_, changed(round_, STAGES[kind, phase][what]))

"""Whatever is given in place of an argument of the public interface: it works, or an error of ours says why not."""

import os

import numpy as np
import pytest

import secagg
from secagg import SecaggError
from secagg_protocols import PROTOCOLS, PairwiseMasking

SCHEME = PairwiseMasking()
SESSION = secagg.Session.create(["a", "b", "c"], 0.0, run=bytes(16), entropy=os.urandom)
SEAT = secagg.Seat("a")
CREDENTIALS = secagg.Credentials.generate(["a", "b", "c"], os.urandom)["a"]

CALLABLES = {
    "Session.create": (
        secagg.Session.create,
        {
            "parties": ["a", "b"],
            "like": 0.0,
            "bits": 16,
            "clip": 1.0,
            "weight_max": None,
            "weight_min": None,
            "rounding": None,
            "helpers": (),
            "context": b"",
            "run": b"",
            "round": 0,
            "entropy": os.urandom,
        },
    ),
    "Session.from_bytes": (secagg.Session.from_bytes, {"data": SESSION.to_bytes()}),
    "aggregate": (
        secagg.aggregate,
        {
            "updates": {"a": 1.0, "b": 1.0, "c": 1.0},
            "scheme": SCHEME,
            "weights": None,
            "weight_max": None,
            "bits": 16,
            "clip": 1.0,
            "rounding": None,
            "lost": None,
            "policy": None,
            "context": b"",
            "entropy": os.urandom,
        },
    ),
    "Policy": (secagg.Policy, {"min_cohort": 3, "max_dim": 5, "min_threshold": 2}),
    "Seat": (
        secagg.Seat,
        {
            "party": "a",
            "policy": secagg.Policy(),
            "context": None,
            "entropy": os.urandom,
            "credentials": None,
            "store": None,
            "model": None,
        },
    ),
    "Credentials.generate": (secagg.Credentials.generate, {"parties": ["a", "b"], "entropy": os.urandom}),
    "Coordinator": (secagg.Coordinator, {"scheme": SCHEME, "session": SESSION, "roster": None, "prepared": None}),
    "Participant": (
        secagg.Participant,
        {"scheme": SCHEME, "session": SESSION, "seat": "a", "policy": None, "prepared": None},
    ),
    "prepare": (secagg.prepare, {"scheme": SCHEME, "seat": SEAT, "run": bytes(16), "round": 3}),
    "PairwiseMasking": (
        PairwiseMasking,
        {"neighbours": None, "threshold": None, "adversary": "passive", "corrupt": 0.05, "sigma": 40},
    ),
    "plan": (
        PairwiseMasking.plan,
        {"n": 10, "corrupt": 0.05, "dropout": 0.05, "sigma": 40, "eta": 30, "adversary": "passive"},
    ),
    "secagg": (
        PROTOCOLS["secagg"],
        {"n": 10, "threshold": None, "adversary": "passive", "corrupt": 0.05, "sigma": 40},
    ),
    "secagg+": (
        PROTOCOLS["secagg+"],
        {
            "n": 10,
            "neighbours": None,
            "threshold": None,
            "adversary": "passive",
            "corrupt": 0.05,
            "dropout": 0.05,
            "sigma": 40,
            "eta": 30,
        },
    ),
    "paillier": (PROTOCOLS["paillier"], {"n": 10, "key_bits": 2048, "adversary": "passive"}),
    "ckks": (PROTOCOLS["ckks"], {"n": 10, "holders": 3, "quorum": None, "adversary": "passive"}),
}
ODD = [
    None,
    True,
    "3",
    3,
    -1,
    2.5,
    float("nan"),
    2**70,
    b"x",
    "\ud800",
    [1],
    [None],
    [[]],
    {"a": 1},
    {1: "b"},
    ("a",),
    {"a"},
    np.array([1, 2]),
    np.float32(2),
    object(),
    SCHEME,
    SESSION,
]


@pytest.fixture(scope="module")
def _installed():
    for extra in ("gmpy2", "phe", "tenseal"):
        pytest.importorskip(extra)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("name", "argument"), [(name, each) for name, (_, good) in CALLABLES.items() for each in good])
def test_no_error_of_pythons_own_comes_of_an_argument(name, argument):
    call, good = CALLABLES[name]
    call(**good)
    for odd in ODD:
        try:
            call(**good | {argument: odd})
        except SecaggError as error:
            assert str(error)  # noqa: PT017  # most of them are refused, and some are right


@pytest.mark.parametrize("argument", ["path", "latch"])
@pytest.mark.parametrize("odd", [None, 3, True, b"x", ["x"]])
def test_a_journal_is_at_a_path(tmp_path, argument, odd):
    if argument == "latch" and odd is None:
        return
    with pytest.raises(secagg.errors.ConfigError, match=f"{argument} is .*, expected a path"):
        secagg.Journal(**{"path": tmp_path / "journal"} | {argument: odd})
    assert not list(tmp_path.iterdir())

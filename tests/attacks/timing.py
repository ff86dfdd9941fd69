"""Whether share combination and tag checks take longer for some secrets than for others: a report, not a gate.

    python tests/attacks/timing.py [--runs 20000] [--json]

The method is that of Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?" (DATE 2017): inputs of two
classes in random order, the slowest tenth of all times cut off, Welch's t between what is left. |t| above 4.5 says that
the classes can be told apart on this machine; below it, that so many runs did not tell them apart. Each case has its
first class twice: a t like that of the second comes from where buffers lie, not from what they hold.
"""

import argparse
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from secagg.errors import PeerMisbehaved
from secagg.primitives import sealing, shamir
from secagg.scheme import Session
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import HASH_SIZE, SALT_SIZE, SHARE_SIZE
from secagg_protocols.pairwise.recovery import Secrets

SUSPICIOUS = 4.5
KEPT = 0.9  # of all times, the fastest
THRESHOLD = 20
SECRETS = 8  # combined at once

Times = NDArray[np.int64]
Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One class of one case.

    Attributes:
        median_ns: nanoseconds of one run.
        t: Welch's, against the case's first class; 0.0 for that class itself.
    """

    case: str
    secret: str
    runs: int
    median_ns: float
    t: float


def cases(draw: np.random.Generator) -> dict[str, dict[str, Work]]:
    """{case: {class of secret: one run}}; others are compared with the first class, and the second is its like."""
    return {
        "combine shares of a secret": _combinations(draw),
        "open a sealed message": _openings(draw),
        "check a share against its hash": _hash_checks(draw),
    }


def _combinations(draw: np.random.Generator) -> dict[str, Work]:
    secrets = {
        "random": np.frombuffer(draw.bytes(32 * SECRETS), np.uint8),
        "another random": np.frombuffer(draw.bytes(32 * SECRETS), np.uint8),
        "all zeros": np.zeros(32 * SECRETS, np.uint8),
        "all ones": np.full(32 * SECRETS, 255, np.uint8),
    }
    points = np.tile(np.arange(1, THRESHOLD + 1, dtype=np.uint64), (SECRETS, 1))
    work: dict[str, Work] = {}
    for name, secret in secrets.items():
        dealt = shamir.split(secret.reshape(SECRETS, 32), range(1, THRESHOLD + 1), THRESHOLD, draw.bytes)
        values = np.ascontiguousarray(np.stack(list(dealt.values()), axis=1))
        work[name] = partial(shamir.combine_many, points, values)
    return work


def _openings(draw: np.random.Generator) -> dict[str, Work]:
    key, data = draw.bytes(sealing.KEY_BYTES), draw.bytes(16)
    box = sealing.seal(key, draw.bytes(2 * SHARE_SIZE), data)
    wrong = {
        "tag wrong in its first byte": len(box) - sealing.TAG_BYTES,
        "the same again": len(box) - sealing.TAG_BYTES,
        "tag wrong in its last byte": len(box) - 1,
        "ciphertext wrong in its first byte": 0,
        "ciphertext wrong in its middle": SHARE_SIZE,
    }
    return {name: partial(_refused, sealing.open_sealed, key, _flipped(box, at), data) for name, at in wrong.items()}


def _hash_checks(draw: np.random.Generator) -> dict[str, Work]:
    share = bytes(shamir.SHARE_BYTES) + draw.bytes(SALT_SIZE)
    dealers, shares = np.arange(3), np.frombuffer(3 * share, np.uint8).reshape(3, -1)
    known = PairwiseMasking().server(Session.create(range(3), 0.0, entropy=draw.bytes))
    secrets = Secrets(known, {i: [0, 1, 2] for i in range(3)}, frozenset(range(3)))
    right = derive.share_hashes(known.bound, True, 0, 1, shares[:1]).tobytes()
    work: dict[str, Work] = {}
    wrong = {
        "wrong in its first byte": 0,
        "the same again": 0,
        "wrong in its middle": HASH_SIZE // 2,
        "wrong in its last byte": HASH_SIZE - 1,
    }
    for name, at in wrong.items():
        pair = _flipped(right, at) + bytes(HASH_SIZE)
        rows = np.frombuffer(3 * pair, np.uint8).reshape(3, -1)
        work[name] = partial(_refused, secrets.check_published, dealers, 1, shares, rows)
    return work


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _refused(check: Callable[..., object], *arguments: object) -> None:
    """Each check fails, so that its outcome, which is public, is the same for all classes."""
    try:
        check(*arguments)
    except PeerMisbehaved:
        return
    raise AssertionError("a wrong tag or share was accepted")


def timed(classes: Mapping[str, Work], runs: int, draw: np.random.Generator) -> dict[str, Times]:
    """Nanoseconds of `runs` runs of each class, in random order; the first ones, which warm up, do not count."""
    work = list(classes.values())
    for one in work:
        one()
    order = draw.permutation(np.repeat(np.arange(len(work)), runs))
    spent = np.empty(order.size, np.int64)
    gc.disable()
    try:
        for i, which in enumerate(order.tolist()):
            start = perf_counter_ns()
            work[which]()
            spent[i] = perf_counter_ns() - start
    finally:
        gc.enable()
    return {name: spent[order == i] for i, name in enumerate(classes)}


def welch(a: Times, b: Times) -> float:
    """Welch's t between two samples, each of two or more values; 0.0 where neither varies and both are equal."""
    spread = a.var(ddof=1) / a.size + b.var(ddof=1) / b.size
    difference = float(a.mean() - b.mean())
    if spread == 0:
        return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return float(difference / np.sqrt(spread))


def compared(case: str, spent: Mapping[str, Times]) -> list[Row]:
    """One row a class, the slowest tenth of all times cut off."""
    limit = np.quantile(np.concatenate(list(spent.values())), KEPT)
    kept = {name: times[times <= limit] for name, times in spent.items()}
    first = next(iter(kept.values()))
    return [
        Row(case, name, times.size, float(np.median(times)), 0.0 if times is first else welch(times, first))
        for name, times in kept.items()
    ]


def report(runs: int) -> list[Row]:
    """All cases, `runs` runs of each class (at least 20)."""
    draw = np.random.default_rng()
    return [row for case, classes in cases(draw).items() for row in compared(case, timed(classes, runs, draw))]


def show(rows: Sequence[Row]) -> None:
    """A table, for people."""
    for case in dict.fromkeys(row.case for row in rows):
        classes = [row for row in rows if row.case == case]
        floor = max(SUSPICIOUS, 2 * abs(classes[1].t))
        print(f"\n{case}\n  {'secret or tag':36}{'median, us':>12}{'t':>9}")
        for row in classes:
            mark = "  can be told apart" if abs(row.t) > floor else ""
            print(f"  {row.secret:36}{row.median_ns / 1000:12.2f}{row.t:9.2f}{mark}")
    print(f"\nt is against the first class; marked where |t| exceeds {SUSPICIOUS} and twice that of the second class,")
    print("which differs from the first in nothing but where its buffers lie.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python tests/attacks/timing.py", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="runs of each class, 20 or more")
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args(arguments)
    if options.runs < 20:
        parser.error(f"--runs is {options.runs}: expected 20 or more")
    rows = report(options.runs)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()

"""Kernels and primitives alone: masks by path, lane, keys, length and threads; encodings, sharing, agreement, powers.

Rates are bytes of keystream, or of input, a second. `python -m bench kernels --dim 65536 --neighbours 30` measures the
masks of one size.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from bench import limits
from bench.measure import Work, on_threads, side_by_side
from bench.options import Job, Options, Tell
from bench.peers.generators import MT19937, OPENSSL, PCG64, streams
from bench.results import Case, Row, row
from secagg.encoding.packing import add_packed, pack
from secagg.encoding.quantize import Quantizer
from secagg.encoding.ring import Ring
from secagg.kernels import _cpu, mask
from secagg.kernels import agreement as agreement_kernel
from secagg.primitives import agreement, prg, shamir

KEYS, DIM, SHORT = 100, 1 << 20, 1 << 12
LANES = ("uint16", "uint32", "uint64")
RUNS = 9
PAIRS = 1024
RING = Ring(20)


def jobs(options: Options) -> list[Job]:
    """The suite's steps."""
    if options.is_one_case:
        dim, keys = options.dim or DIM, options.neighbours or KEYS
        return [Job(f"masks, dim {dim}, {keys} keys", partial(_one_case, dim, keys, RUNS))]
    dim, runs = (1 << 14, 3) if options.quick else (DIM, RUNS)
    lists = [Job("targets of the mask kernels", partial(_targets, dim, runs))]
    lists += [Job(f"masks of {name}", partial(_paths, name, dim, runs)) for name in mask.IMPLEMENTATIONS]
    lists += [Job(f"masks, {keys} keys", partial(_growth, "keys", dim, keys, runs)) for keys in (1, 3, 10, 30, 100)]
    lists += [Job(f"masks, dim {d}", partial(_growth, "entries", d, KEYS, runs)) for d in _dims(dim)]
    lists.append(Job("limits of the machine", partial(_limits, 1 << 22 if options.quick else limits.MEMORY, runs)))
    lists.append(Job("encodings", partial(_encodings, dim, runs)))
    lists.append(Job("secret sharing", partial(_sharing, 50 if options.quick else 500, runs)))
    lists.append(Job("key agreement", partial(_agreement, 32 if options.quick else PAIRS, runs)))
    if find_spec("gmpy2") is not None:  # of the extra that Paillier needs
        bits, count = (256, 16) if options.quick else (2048, 128)
        lists.append(Job("arithmetic of Paillier", partial(import_module("bench.modular").rows, bits, count, runs)))
    return lists


def _dims(largest: int) -> Iterator[int]:
    yield from (dim for dim in (1 << power for power in range(10, 24, 2)) if dim < largest)
    yield 4 * largest


def _threads(name: str) -> tuple[int, ...]:
    """The portable path has one thread."""
    return (1, 2) if _cpu.threads() > 1 and name != "portable" else (1,)


def _masks(name: str, lane: str, dim: int, keys: int, count: int) -> tuple[Case, Work]:
    """One case of `add_masks` and the call that does it."""
    seeds = np.frombuffer(os.urandom(16 * keys), np.uint8).reshape(-1, 16)
    signs = np.where(np.arange(keys) % 2, -1, 1).astype(np.int8)
    acc = np.zeros(dim, lane)
    add = mask.IMPLEMENTATIONS[name]

    def work() -> None:
        with on_threads(count):
            add(acc, seeds, signs, 0)

    return {"path": name, "lane": lane, "dim": dim, "keys": keys, "threads": count}, work


def _measured(what: str, cases: list[tuple[Case, Work]], runs: int, size: Callable[[Case], float]) -> list[Row]:
    """Rows of all cases, which take turns."""
    times = side_by_side({str(place): work for place, (_, work) in enumerate(cases)}, runs)
    return [row(what, case, times[str(place)], bytes=size(case)) for place, (case, _) in enumerate(cases)]


def _stream_bytes(case: Mapping[str, Any]) -> float:
    return float(case["dim"] * case["keys"] * np.dtype(case["lane"]).itemsize)


def _targets(dim: int, runs: int, _tell: Tell) -> list[Row]:
    """All that the table of targets compares, in turns within one loop."""
    best = mask.selected()
    short = min(SHORT, dim)
    cases = [_masks(best, "uint32", dim, KEYS, threads) for threads in _threads(best)]
    cases += [_masks(best, "uint32", short, KEYS, 1), _masks("portable", "uint32", dim, KEYS, 1)]
    peers = streams(4 * dim, (OPENSSL, PCG64, MT19937))
    works = {f"masks {place}": work for place, (_, work) in enumerate(cases)} | peers
    times = side_by_side(works, runs)
    rows = [
        row("target: add_masks", case, times[f"masks {place}"], bytes=_stream_bytes(case))
        for place, (case, _) in enumerate(cases)
    ]
    return rows + [row("target: keystream", {"by": name}, times[name], bytes=4.0 * dim) for name in peers]


def _paths(name: str, dim: int, runs: int, _tell: Tell) -> list[Row]:
    cases = [_masks(name, lane, dim, KEYS, threads) for lane in LANES for threads in _threads(name)]
    return _measured("add_masks", cases, runs, _stream_bytes)


def _growth(axis: str, dim: int, keys: int, runs: int, _tell: Tell) -> list[Row]:
    cases = [_masks(mask.selected(), "uint32", dim, keys, threads) for threads in _threads(mask.selected())]
    return _measured(f"add_masks by {axis}", cases, runs, _stream_bytes)


def _one_case(dim: int, keys: int, runs: int, _tell: Tell) -> list[Row]:
    names = [name for name in mask.IMPLEMENTATIONS if name == mask.selected() or name == "portable"]
    cases = [_masks(name, lane, dim, keys, threads) for name in names for lane in LANES for threads in _threads(name)]
    rows = _measured("add_masks", cases, runs, _stream_bytes)
    times = side_by_side(streams(4 * dim, (OPENSSL,)), runs)
    return [*rows, row("target: keystream", {"by": OPENSSL}, times[OPENSSL], bytes=4.0 * dim)]


def _limits(size: int, runs: int, _tell: Tell) -> list[Row]:
    works = {"memory": limits.memory(size), **limits.aes(size)}
    times = side_by_side({name: limit.work for name, limit in works.items()}, runs)
    return [row("limit", {"of": name}, times[name], bytes=float(limit.bytes)) for name, limit in works.items()]


def _encodings(dim: int, runs: int, _tell: Tell) -> list[Row]:
    """float32 to 20-bit entries of uint32 lanes, and back into an accumulator."""
    update = (np.random.default_rng(0).normal(size=dim) * 0.4).astype(np.float32)
    clip, vector, total = np.float64(1.0), RING.zeros(dim), RING.zeros(dim)
    quantizers = {rounding: Quantizer(RING.bits, rounding) for rounding in ("nearest", "stochastic")}

    def quantize(rounding: str) -> None:
        quantizers[rounding].quantize(update, np.asarray(clip), 1.0, vector, prg.stretched(os.urandom))

    def both() -> None:
        quantize("nearest")
        pack(vector, RING)

    quantize("nearest")
    packed = pack(vector, RING)
    works: dict[str, Work] = {
        "quantize, nearest": partial(quantize, "nearest"),
        "quantize, stochastic": partial(quantize, "stochastic"),
        "pack": partial(pack, vector, RING),
        "quantize and pack": both,
        "unpack and add": partial(add_packed, total, packed, RING),
    }
    times = side_by_side(works, 3 * runs)
    return [
        row("encoding", {"of": name, "bits": RING.bits, "dim": dim}, times[name], bytes=4.0 * dim) for name in works
    ]


def _sharing(clients: int, runs: int, _tell: Tell) -> list[Row]:
    """Two secrets to k holders, and all secrets of a round back from t of them."""
    rows: list[Row] = []
    for holders, threshold, secrets in ((30, 21, 100), (clients - 1, 2 * clients // 3 + 1, clients)):
        points = range(1, holders + 1)
        dealt = shamir.split(_random(2), points, threshold, os.urandom)
        chosen = np.array(points[:threshold], np.uint64)
        values = np.stack([dealt[point][0] for point in points[:threshold]])
        case: Case = {"holders": holders, "threshold": threshold}
        works: dict[str, Work] = {
            "split 2": partial(shamir.split, _random(2), points, threshold, os.urandom),
            f"combine {secrets}": partial(
                shamir.combine_many, np.tile(chosen, (secrets, 1)), np.tile(values, (secrets, 1, 1))
            ),
        }
        times = side_by_side(works, runs)
        rows += [row("sharing", {"of": name, **case}, times[name]) for name in works]
    return rows


def _agreement(pairs: int, runs: int, _tell: Tell) -> list[Row]:
    """X25519 and HKDF of many pairs with one private key, as a client and a recovered key have them.

    By the selected kernel, on one thread and on two; and as one would write it with `cryptography`, which parses the
    private key once.
    """
    private, salt = os.urandom(32), os.urandom(32)
    publics = [agreement.public_key(os.urandom(32)) for _ in range(pairs)]
    infos = [os.urandom(103) for _ in range(pairs)]

    def together(count: int) -> None:
        with on_threads(count):
            agreement.derive_many([private] * pairs, publics, infos, salt)

    def pair_by_pair() -> None:
        own = X25519PrivateKey.from_private_bytes(private)
        for public, info in zip(publics, infos, strict=True):
            HKDF(SHA256(), 32, salt, info).derive(own.exchange(X25519PublicKey.from_public_bytes(public)))

    agreement_kernel.load()
    path = agreement_kernel.selected()
    cases: list[tuple[Case, Work]] = [
        ({"by": "derive_many", "path": path, "threads": count}, partial(together, count)) for count in (1, 2)
    ]
    cases.append(({"by": "cryptography", "path": "portable", "threads": 1}, pair_by_pair))
    return _measured("agreement", [({**case, "pairs": pairs}, work) for case, work in cases], runs, lambda _: 0.0)


def _random(secrets: int) -> NDArray[np.uint8]:
    return np.frombuffer(os.urandom(32 * secrets), np.uint8).reshape(-1, 32)

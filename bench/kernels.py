"""Kernels and primitives alone: masks by path, lane, keys, length and threads; encodings, sharing, agreement, powers;
and what the machine could do at best.

Rates are bytes of keystream, or of input, a second. `python -m bench kernels --dim 65536 --neighbours 30` measures the
masks of one size. The suite `decoding` is about messages.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import gmpy2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from llvmlite import ir
from numba import njit, types

from bench.cohorts import Options
from bench.measure import Job, Trial, Work, compared, on_threads, trial
from bench.replay import update_of
from secagg.encoding.packing import add_packed, pack
from secagg.encoding.quantize import Quantizer
from secagg.encoding.ring import Ring
from secagg.errors import PartyId
from secagg.kernels import _cpu, mask, montgomery
from secagg.kernels import agreement as agreement_kernel
from secagg.kernels.mask.aes import IN_FLIGHT, ROUNDS, _emit_round, _emitted
from secagg.primitives import agreement, prg, shamir
from secagg.primitives.modular import Modulus
from secagg.scheme import Session
from secagg.testing import SeededEntropy, TestRound, opened
from secagg_protocols import PROTOCOLS

KEYS, DIM, SHORT, RUNS = 100, 1 << 20, 1 << 12, 9
LANES = ("uint16", "uint32", "uint64")
RING = Ring(20)
OPENSSL, PCG64, MT19937 = "OpenSSL AES-128-CTR", "NumPy PCG64", "NumPy MT19937"
POWMOD, GMP = "gmpy2 powmod(r, n, n*n)", "gmpy2 a * b % n"
ENGINES = (*montgomery.IMPLEMENTATIONS, montgomery.PORTABLE)
MEMORY = 1 << 27
"""Bytes far beyond any cache."""
Trials = Callable[[], Iterable[Trial]]


def jobs(options: Options) -> list[Job]:
    """The suite's steps."""
    dim, runs = (1 << 14, 3) if options.quick else (DIM, RUNS)
    best = mask.selected()
    steps: dict[str, Trials] = {}
    if options.is_one_case:
        dim, runs = options.dim or DIM, RUNS
        paths = [path for path in mask.IMPLEMENTATIONS if path in {best, "portable"}]
        steps |= {"masks": partial(_by_lane, paths, dim, options.neighbours or KEYS)}
        steps |= {OPENSSL: partial(keystreams, "target: keystream", 4 * dim, OPENSSL)}
        return [compared(name, trials, runs) for name, trials in steps.items()]
    pairs, (few, bits, count) = (32, (50, 256, 16)) if options.quick else (1024, (500, 2048, 128))
    steps = {
        "targets of the mask kernels": partial(_targets, dim),
        "masks by path and lane": partial(_by_lane, mask.IMPLEMENTATIONS, dim, KEYS),
        "masks by keys and entries": partial(_by_size, best, dim),
        "limits of the machine": partial(_limits, 1 << 22 if options.quick else MEMORY),
        "encodings": partial(_encodings, dim),
        "secret sharing, 30 holders": partial(_sharing, 30, 21, 100),
        "secret sharing, all clients": partial(_sharing, few - 1, 2 * few // 3 + 1, few),
        "key agreement": partial(_agreement, pairs),
        "Paillier encryption": partial(_encryptions, bits, count),
        "products": partial(_products, 2 * bits, 16 * count),
    }
    return [compared(name, trials, 3 * runs if name == "encodings" else runs) for name, trials in steps.items()]


def _masks(what: str, path: str, lane: str, dim: int, keys: int) -> Iterator[Trial]:
    """`add_masks` by one path, on one thread and on two."""
    seeds = np.frombuffer(os.urandom(16 * keys), np.uint8).reshape(-1, 16)
    signs = np.where(np.arange(keys) % 2, -1, 1).astype(np.int8)
    for threads in _threads(path):
        acc = np.zeros(dim, lane)
        work = on_threads(threads)(partial(mask.IMPLEMENTATIONS[path], acc, seeds, signs, 0))
        made = {"bytes": float(keys * acc.nbytes)}
        yield trial(what, work, made, path=path, lane=lane, dim=dim, keys=keys, threads=threads)


def _threads(path: str) -> tuple[int, ...]:
    """The portable paths have one thread."""
    return (1, 2) if _cpu.threads() > 1 and path != "portable" else (1,)


def _targets(dim: int) -> list[Trial]:
    """All that the table of targets compares, in turns within one loop."""
    masks, best = partial(_masks, "target: add_masks"), mask.selected()
    short = next(masks(best, "uint32", min(SHORT, dim), KEYS))
    trials = [*masks(best, "uint32", dim, KEYS), short, *masks("portable", "uint32", dim, KEYS)]
    return [*trials, *keystreams("target: keystream", 4 * dim, OPENSSL, PCG64, MT19937)]


def _by_lane(paths: Iterable[str], dim: int, keys: int) -> Iterator[Trial]:
    for path in paths:
        for lane in LANES:
            yield from _masks("add_masks", path, lane, dim, keys)


def _by_size(path: str, dim: int) -> Iterator[Trial]:
    for keys in (1, 3, 10, 30, KEYS):
        yield from _masks("add_masks by keys", path, "uint32", dim, keys)
    for size in [*(1 << power for power in range(10, 24, 2) if 1 << power < dim), 4 * dim]:
        yield from _masks("add_masks by entries", path, "uint32", size, KEYS)


def keystreams(what: str, size: int, *names: str, **case: Any) -> list[Trial]:
    """What else could make the bytes of a mask: OpenSSL's AES-128-CTR, and NumPy's generators, which are no ciphers."""
    return [trial(what, _stream(name, size), {"bytes": float(size)}, by=name, **case) for name in names]


def _stream(name: str, size: int) -> Work:
    if name != OPENSSL:
        generator = np.random.Generator({PCG64: np.random.PCG64, MT19937: np.random.MT19937}[name](1))
        return lambda: generator.integers(0, 1 << 32, size // 4, np.uint32)
    zeros, room = bytes(size), bytearray(size + 16)
    room[:] = bytes(len(room))  # so that the first run does not pay for its pages
    return lambda: Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).encryptor().update_into(zeros, room)


def _limits(size: int) -> Iterator[Trial]:
    """On one core: adding one array of `size` bytes to another, where two are read, one is written, and all count; and
    AES-128 of about `size` bytes in registers, for each path of the mask kernel with AES instructions.
    """
    one, other = np.ones(size // 4, np.uint32), np.ones(size // 4, np.uint32)
    yield trial("limit", partial(np.add, one, other, out=one), {"bytes": 3.0 * size}, of="memory")
    for name, (vector_bits, _) in mask.FAST.items():
        if name in mask.IMPLEMENTATIONS:
            group = IN_FLIGHT * vector_bits // 8
            work = partial(_rounds, size // group, tuple(range(vector_bits // 128)))
            yield trial("limit", work, {"bytes": float(size // group * group)}, of=name)


@njit(nogil=True)
def _rounds(groups: int, blocks: tuple[int, ...]) -> int:
    """`groups` times ten rounds of the vectors in flight; the result keeps them from being optimized away."""
    total = 0
    for number in range(groups):
        total ^= _group(number, blocks)
    return total


@_emitted
def _group(_typing: Any, _number: Any, blocks: Any) -> Any:
    """Emit ten AES rounds of `IN_FLIGHT` vectors; groups do not wait for each other."""
    quad, width = ir.IntType(64), 2 * len(blocks)
    kind = ir.VectorType(quad, width)

    def emit(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        start = [kind([number] * width) for number in range(IN_FLIGHT)]
        vectors = [builder.insert_element(vector, arguments[0], quad(0)) for vector in start]
        round_key = kind([0x0123456789ABCDEF] * width)
        for number in range(1, ROUNDS + 1):
            instruction = "aesenc" if number < ROUNDS else "aesenclast"
            vectors = [_emit_round(builder, instruction, vector, round_key) for vector in vectors]
        total = vectors[0]
        for vector in vectors[1:]:
            total = builder.xor(total, vector)
        return builder.extract_element(total, quad(1))

    return types.int64(types.int64, blocks), emit


def _encodings(dim: int) -> list[Trial]:
    """float32 to 20-bit entries of uint32 lanes, and back into an accumulator."""
    update, vector, total = update_of(dim), RING.zeros(dim), RING.zeros(dim)
    quantizers = {rounding: Quantizer(RING.bits, rounding) for rounding in ("nearest", "stochastic")}

    def quantize(rounding: str) -> None:
        quantizers[rounding].quantize(update, np.asarray(1.0), 1.0, vector, prg.stretched(os.urandom))

    def both() -> None:
        quantize("nearest")
        pack(vector, RING)

    quantize("nearest")
    works: dict[str, Work] = {
        "quantize, nearest": partial(quantize, "nearest"),
        "quantize, stochastic": partial(quantize, "stochastic"),
        "pack": partial(pack, vector, RING),
        "quantize and pack": both,
        "unpack and add": partial(add_packed, total, pack(vector, RING), RING),
    }
    return [trial("encoding", work, {"bytes": 4.0 * dim}, of=of, bits=RING.bits, dim=dim) for of, work in works.items()]


def _sharing(holders: int, threshold: int, secrets: int) -> list[Trial]:
    """Two secrets to k holders, and all secrets of a round back from t of them."""
    points, two = range(1, holders + 1), np.frombuffer(os.urandom(64), np.uint8).reshape(2, 32)
    split = partial(shamir.split, two, points, threshold, os.urandom)
    dealt, some = split(), points[:threshold]
    chosen = np.tile(np.array(some, np.uint64), (secrets, 1))
    values = np.tile(np.stack([dealt[point][0] for point in some]), (secrets, 1, 1))
    works: dict[str, Work] = {"split 2": split, f"combine {secrets}": partial(shamir.combine_many, chosen, values)}
    return [trial("sharing", work, of=of, holders=holders, threshold=threshold) for of, work in works.items()]


def _agreement(pairs: int) -> Iterator[Trial]:
    """X25519 and HKDF of many pairs with one private key, as a client and a recovered key have them.

    By the selected kernel, on one thread and on two; and as one would write it with `cryptography`, which parses the
    private key once.
    """
    private, salt = os.urandom(32), os.urandom(32)
    publics = [agreement.public_key(os.urandom(32)) for _ in range(pairs)]
    infos = [os.urandom(103) for _ in range(pairs)]

    def pair_by_pair() -> None:
        own = X25519PrivateKey.from_private_bytes(private)
        for public, info in zip(publics, infos, strict=True):
            HKDF(SHA256(), 32, salt, info).derive(own.exchange(X25519PublicKey.from_public_bytes(public)))

    agreement_kernel.load()
    together = partial(agreement.derive_many, [private] * pairs, publics, infos, salt)
    for threads in (1, 2):
        case = {"path": agreement_kernel.selected(), "threads": threads, "pairs": pairs}
        yield trial("agreement", on_threads(threads)(together), by="derive_many", **case)
    yield trial("agreement", pair_by_pair, by="cryptography", path="portable", threads=1, pairs=pairs)


def _encryptions(bits: int, count: int) -> Iterator[Trial]:
    """Paillier's (h**n)**s mod n**2 with s of half n's bits, by windows, against GMP's r**n mod n**2."""
    what, n = "Paillier encryption", _odd(bits)
    square = n * n
    base = int(gmpy2.powmod(_odd(bits - 8), n, square))
    exponents = [int.from_bytes(os.urandom(bits // 16), "big") for _ in range(count)]
    few = [_odd(bits - 8) for _ in range(max(1, count // 64))]
    done = {"encryptions": float(len(few))}
    yield trial(what, lambda: [gmpy2.powmod(r, n, square) for r in few], done, by=POWMOD, bits=bits, threads=1)
    for name in ENGINES:
        table = Modulus.square(n, name).fixed_base(base, bits // 2)
        for threads in _threads(name):
            work = on_threads(threads)(partial(table.powers, exponents))
            yield trial(what, work, {"encryptions": float(count)}, by=name, bits=bits, threads=threads)


def _products(bits: int, count: int) -> list[Trial]:
    """The product of many values, so that each costs one product and its way into lanes."""
    n, figures = _odd(bits), {"products": float(count)}
    values = [_odd(bits) % n for _ in range(count)]
    data = b"".join(value.to_bytes(bits // 8) for value in values)
    numbers, modulus = [gmpy2.mpz(value) for value in values], gmpy2.mpz(n)
    works: dict[str, Work] = {GMP: lambda: [number * number % modulus for number in numbers]}
    works |= {name: partial(lambda engine: engine.read(data).product(), Modulus(n, name)) for name in ENGINES}
    return [trial("modular product", work, figures, by=by, bits=bits) for by, work in works.items()]


def _odd(bits: int) -> int:
    return int.from_bytes(os.urandom(bits // 8), "big") | 1 << (bits - 1) | 1


def decoding(options: Options) -> list[Job]:
    """The suite `decoding`: how fast frames, messages and sessions of one real round decode."""
    clients, dim = (5, 10) if options.quick else (options.clients or 100, options.dim or 100_000)
    return [compared("decoders", partial(_decoders, options.protocol or "secagg", clients, dim), 25)]


def _decoders(protocol: str, clients: int, dim: int) -> Iterator[Trial]:
    """The session, and every message of the round as it arrives (frame and message)."""
    updates: dict[PartyId, Any] = dict.fromkeys(range(clients), np.zeros(dim, np.uint16))
    session = Session.create(range(clients), updates[0])
    round_ = TestRound(PROTOCOLS[protocol](clients), session, updates, entropy=SeededEntropy(1))
    found: list[tuple[str, bytes, Callable[[bytes], object]]] = [("Session", session.to_bytes(), Session.from_bytes)]
    for phase in round_.scheme.phases:
        party, ask = next(iter(round_.coordinator.asks().items()))
        round_.exchange()
        messages = {phase.ask: ask} | ({phase.reply: round_.sent[phase.name, party]} if phase.reply else {})
        found += [(kind.__name__, data, partial(opened, kind=kind)) for kind, data in messages.items()]
        round_.coordinator.close_phase()
    for of, data, decode in found:
        size = len(data)
        yield trial("decoding", partial(decode, data), {"bytes": size}, of=of, size=size, clients=clients, dim=dim)

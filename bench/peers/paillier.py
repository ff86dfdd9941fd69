"""Paillier by others and by us, on the same work: phe value by value, gmpy2's exponentiation, a packed vector.

`python -m bench peers --protocol paillier --dim 1000000` measures it alone.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial

import gmpy2
import numpy as np
import phe

from bench.measure import Times, on_threads, side_by_side, timed
from bench.options import Job, Tell
from bench.results import Row, row
from secagg.primitives import paillier
from secagg.primitives.paillier import PublicKey
from secagg.scheme import Session
from secagg_protocols import PaillierKeys, PaillierSum
from secagg_protocols.paillier.messages import opening_label
from secagg_protocols.paillier.slots import Slots

CLIENTS, BITS, KEY_BITS = 16, 16, 2048
HOLDERS, THRESHOLD = 5, 3


def jobs(dim: int, quick: bool) -> Iterator[Job]:
    """The steps: encryption and addition at `dim` entries, decryption at a tenth of it."""
    runs = 2 if quick else 3
    yield Job("Paillier, a value", _on_one_core(partial(_values, 3 if quick else 25)))
    yield Job(f"Paillier, a vector of {dim}", _on_one_core(partial(_vector, dim, runs)))
    yield Job(f"Paillier, decryption of {dim // 10}", _on_one_core(partial(_decryption, dim // 10, runs)))
    yield Job("Paillier, keys", _on_one_core(partial(_keys, runs)))


def _on_one_core(work: Callable[[Tell], list[Row]]) -> Callable[[Tell], list[Row]]:
    def alone(tell: Tell) -> list[Row]:
        with on_threads(1):
            return work(tell)

    return alone


def _case(by: str, work: str, dim: int = 1) -> dict[str, str | int | float]:
    return {"by": by, "work": work, "dim": dim, "clients": CLIENTS, "bits": BITS, "key bits": KEY_BITS}


def _wire(size: int, values: int) -> dict[str, float]:
    """Bytes on the wire."""
    return {"size": size, "bytes a value": size / values}


def _values(count: int, _tell: Tell) -> list[Row]:
    """One value encrypted by phe, one r**n mod n**2 by gmpy2, one ciphertext of ours (102 values of a vector)."""
    key = paillier.generate(KEY_BITS, os.urandom).public
    theirs = phe.PaillierPublicKey(key.n)
    r, n_squared = gmpy2.mpz(int.from_bytes(os.urandom(255))), gmpy2.mpz(key.n_squared)
    slots = _slots(1000)
    key.encrypt([0] * 1024, os.urandom)  # a table as long vectors make it
    times = side_by_side(
        {
            "phe": lambda: theirs.encrypt(0.5),
            "gmpy2": lambda: gmpy2.powmod(r, key.n, n_squared),
            "secagg": lambda: key.encrypt([1] * 32, os.urandom),
        },
        count,
    )
    ours = Times(tuple(seconds / 32 for seconds in times["secagg"].seconds))
    return [
        row("Paillier", _case("phe", "encrypt a value"), times["phe"], **_wire(key.ciphertext_size, 1)),
        row("Paillier", _case("gmpy2", "powmod(r, n, n * n)"), times["gmpy2"]),
        row(
            "Paillier",
            _case("secagg", "encrypt a plaintext", slots.in_each),
            ours,
            **_wire(key.ciphertext_size, slots.in_each),
            **{
                "phe's seconds a value over ours": times["phe"].median / ours.median * slots.in_each,
                "gmpy2's seconds over ours": times["gmpy2"].median / ours.median,
            },
        ),
    ]


def _vector(dim: int, runs: int, _tell: Tell) -> list[Row]:
    """A whole client's encryption; the server's addition of all clients' replies."""
    key = paillier.generate(KEY_BITS, os.urandom).public
    slots = _slots(dim)
    vector = np.arange(dim, dtype=np.uint64).astype(slots.ring.lane) & slots.ring.lane.type(2**BITS - 1)
    encrypted = Times(tuple(timed(lambda: _encrypt(key, slots, vector), 1) for _ in range(runs)))
    data = _encrypt(key, slots, vector)
    added = Times(tuple(timed(lambda: _add(key, slots, data), 1) for _ in range(runs)))
    return [
        row("Paillier", _case("secagg", "client encrypts", dim), encrypted, **_wire(len(data), dim)),
        row("Paillier", _case("secagg", "server adds", dim), added, **_wire(CLIENTS * len(data), CLIENTS * dim)),
    ]


def _decryption(dim: int, runs: int, tell: Tell) -> list[Row]:
    """One holder's part with its proof, the server's check and combination; a single holder's."""
    slots = _slots(dim)
    shared = PaillierKeys.generate(range(HOLDERS), THRESHOLD, KEY_BITS)
    single = PaillierKeys.generate([0], 1, KEY_BITS)
    label = opening_label(bytes(32), b"", b"")
    rows = []
    for name, keys in ((f"{THRESHOLD} of {HOLDERS}", shared), ("single", single)):
        opening = keys.opening
        ciphertexts = opening.public.encrypt([1] * slots.plaintexts, os.urandom)
        tell(f"{name} holders")
        parts = [_opened(keys, holder, ciphertexts, label) for holder in keys.holders[: keys.threshold]]
        opened = Times(
            tuple(timed(lambda: _opened(keys, keys.holders[0], ciphertexts, label), 1) for _ in range(runs))  # noqa: B023
        )
        read = {i + 1: opening.read(values, slots.plaintexts) for i, (values, _) in enumerate(parts)}
        checks = Times(
            tuple(
                timed(lambda: opening.check(1, ciphertexts, read[1], parts[0][1], label), 1)  # noqa: B023
                for _ in range(runs)
            )
        )
        combined = Times((timed(lambda: opening.combine(read), 1),))  # noqa: B023
        size = len(parts[0][0]) + len(parts[0][1])
        rows += [
            row("Paillier", _case("secagg", f"{name}: one holder's part", dim), opened, **_wire(size, dim)),
            row("Paillier", _case("secagg", f"{name}: the server's check of it", dim), checks),
            row("Paillier", _case("secagg", f"{name}: the server combines", dim), combined),
        ]
    return rows


def _keys(runs: int, _tell: Tell) -> list[Row]:
    """Fresh keys of one holder, and of several."""
    works = {
        "a key of one holder": lambda: paillier.generate(KEY_BITS, os.urandom),
        "a key of 5 holders": lambda: paillier.deal(KEY_BITS, HOLDERS, THRESHOLD, os.urandom),
    }
    return [
        row("Paillier", _case("secagg", work), Times(tuple(timed(call, 1) for _ in range(2 * runs))))
        for work, call in works.items()
    ]


def _slots(dim: int) -> Slots:
    session = Session.create(range(CLIENTS), np.broadcast_to(np.float32(0), (dim,)), bits=BITS)
    return PaillierSum(KEY_BITS).parameters(session).slots


def _encrypt(key: PublicKey, slots: Slots, vector: np.ndarray) -> bytes:
    padded = np.zeros(slots.dim, slots.ring.lane)
    padded[: vector.size] = vector
    return key.write_ciphertexts(key.encrypt(slots.pack(padded), os.urandom))


def _add(key: PublicKey, slots: Slots, data: bytes) -> list[int]:
    """Read, check and multiply what each client sent, as the server does on arrival."""
    adding = key.modulus.accumulator(slots.plaintexts)
    for _ in range(CLIENTS):
        adding.multiply(key.read_ciphertexts(data, slots.plaintexts))
    return adding.values()


def _opened(keys: PaillierKeys, holder: int, ciphertexts: list[int], label: bytes) -> tuple[bytes, bytes]:
    return keys.opening.open(keys.secret(holder), ciphertexts, os.urandom, label)

"""CKKS as NVFLARE sets it up (TenSEAL's vectors; polynomials of 8192, moduli of 60, 40 and 40 bits, scale 2^40)
beside `CkksSum`'s ciphertexts, on the same integers.

NVFLARE's server never sees a key either; its clients share one for all rounds. Bytes are those of one client's
ciphertexts, as they are sent.
"""

import numpy as np
import tenseal
from numpy.typing import NDArray

from bench.measure import Times, Work, side_by_side
from bench.options import Tell
from bench.results import Row, row
from secagg import Session
from secagg.primitives import ckks
from secagg_protocols import CkksSum
from secagg_protocols.ckks import residues

OURS, THEIRS = "secagg", "TenSEAL with NVFLARE's parameters"
DEGREE, MODULI, SCALE = 8192, [60, 40, 40], 2.0**40
RUNS = 7


def rows(clients: int, dim: int, tell: Tell) -> list[Row]:
    """Encrypting, adding and decrypting, ours and theirs in turns; both sums are checked."""
    values = np.random.default_rng(0).integers(0, 2**16, dim, np.uint16)
    sides = {OURS: ours(values, clients), THEIRS: theirs(values, clients)}
    made = []
    for place, of in enumerate(("encrypt", "add", "decrypt")):
        tell(f"CKKS: {of}")
        times = side_by_side({by: works[place] for by, (works, _) in sides.items()}, RUNS)
        for by, (_, size) in sides.items():
            made.append(_row(by, of, clients, dim, times[by], size))
    tell("CKKS: encrypt ten times as many")
    (encrypt, *_), size = ours(np.resize(values, 10 * dim), clients)
    times = side_by_side({OURS: encrypt}, RUNS)
    return [*made, _row(OURS, "encrypt", clients, 10 * dim, times[OURS], size)]


def _row(by: str, of: str, clients: int, dim: int, times: Times, size: int) -> Row:
    return row("ckks", {"by": by, "of": of, "clients": clients, "dim": dim}, times, bytes=size)


def ours(values: NDArray[np.uint16], clients: int) -> tuple[tuple[Work, Work, Work], int]:
    """(encrypt one client's, add all clients', decrypt), and bytes of one client's."""
    parameters = CkksSum().parameters(Session.create(range(clients), values))
    key = ckks.SecretKey(bytes(32), parameters)

    def encrypt() -> tuple[bytes, bytes]:
        body, seeds = key.encrypt(values)
        return residues.pack(body, parameters), seeds

    def add() -> tuple[ckks.Residues, ckks.Residues]:
        total, masks = np.zeros(values.size, np.uint64), ckks.Masks(parameters, values.size)
        for body, seeds in sent:
            masks.add(seeds)
            ckks.add(total, residues.unpack(body, values.size, parameters, "ciphertexts"), parameters)
        found = masks.values()
        assert found is not None
        return total, found

    sent = [encrypt()] * clients
    added = add()
    _check(key.decrypt(*added), values, clients)
    return (encrypt, add, lambda: key.decrypt(*added)), sum(map(len, sent[0]))


def theirs(values: NDArray[np.uint16], clients: int) -> tuple[tuple[Work, Work, Work], int]:
    """The same with `tenseal.ckks_vector`, a vector of half the degree at a time."""
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULI)
    context.global_scale = SCALE
    parts = np.split(values.astype(np.float64), range(DEGREE // 2, values.size, DEGREE // 2))

    def encrypt() -> list[bytes]:
        return [tenseal.ckks_vector(context, part).serialize() for part in parts]

    def add() -> list[object]:
        totals = [tenseal.ckks_vector_from(context, data) for data in sent[0]]
        for each in sent[1:]:
            for total, data in zip(totals, each, strict=True):
                total.add_(tenseal.ckks_vector_from(context, data))
        return totals

    def decrypt() -> NDArray[np.float64]:
        return np.concatenate([total.decrypt() for total in added])

    sent = [encrypt()] * clients
    added = add()
    _check(np.rint(decrypt()), values, clients)
    return (encrypt, add, decrypt), sum(map(len, sent[0]))


def _check(total: NDArray[np.generic], values: NDArray[np.uint16], clients: int) -> None:
    np.testing.assert_array_equal(total, values.astype(np.int64) * clients)

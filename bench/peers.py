"""The same work by others, in the same process, on the same inputs: Flower's SecAgg+, plain FedAvg, generators, phe,
CKKS as NVFLARE uses it; and all protocols of ours beside each other.

`python -m bench peers --clients 100 --neighbours 30 --dim 100000 --lost 29` measures one cohort,
`python -m bench peers --protocol paillier` Paillier sums, `--protocol ckks` CKKS sums.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import gmpy2
import numpy as np
import phe
import tenseal
from numpy.typing import NDArray

from bench.cohorts import TABLES, Cohort, Options, tiny
from bench.kernels import MT19937, OPENSSL, PCG64, keystreams
from bench.measure import Job, Tell, Trial, Work, compared, on_threads, trial, without_collector
from bench.replay import BITS, phase_rows, replay, update_of, warm
from bench.results import Case, Row, row
from secagg import Session
from secagg.errors import ConfigError
from secagg.primitives import ckks, paillier
from secagg_protocols import PROTOCOLS, CkksSum, PaillierKeys, PaillierSum
from secagg_protocols.ckks import residues
from secagg_protocols.paillier.messages import opening_label
from secagg_protocols.paillier.slots import Slots

OURS = 3  # rounds of ours before Flower's one, and as many after it
CLIENTS, KEY_BITS = 16, 2048
HOLDERS, THRESHOLD, BATCH = 5, 3, 32
NVFLARE = "TenSEAL with NVFLARE's parameters"
DEGREE, MODULI, SCALE = 8192, [60, 40, 40], 2.0**40
"""NVFLARE's."""
ROLES = {"client": "client", "holder": "key holder", "server": "server"}
Values = NDArray[np.uint16]


def jobs(options: Options) -> list[Job]:
    """The suite's steps. Raises ConfigError where Flower is not installed and needed."""
    quick, work = options.quick, (4, 100) if options.quick else (CLIENTS, 100_000)
    dim, runs = options.dim or (2000 if quick else 1_000_000), 2 if quick else 3
    once = partial(compared, warm=False, threads=1)
    steps = {
        "paillier": [
            compared("Paillier, a value", _values, 3 if quick else 25, threads=1),
            once(f"Paillier, a vector of {dim}", partial(_vector, dim), runs),
            once(f"Paillier, decryption of {dim // 10}", partial(_decryption, dim // 10), runs),
            once("Paillier, keys", _keys, 2 * runs),
        ],
        "ckks": [compared("CKKS by others", partial(ckks_by_others, *work), 7)],
    }
    if options.protocol in steps:
        return steps[options.protocol]
    if find_spec("flwr") is None:
        raise ConfigError("flwr is not installed: `make bench` and `make bench-quick` install it")
    (standard,) = TABLES.single["flower"]
    cohort = tiny(standard) if quick else standard
    if options.is_one_case:
        cohort, steps["paillier"] = options.cohort(standard), []
    generators = partial(keystreams, "keystream", 4 * cohort.dim, OPENSSL, PCG64, MT19937, dim=cohort.dim)
    return [
        Job(f"Flower and ours, {cohort.title}", partial(_flower, cohort)),
        compared("plain FedAvg", partial(_fedavg, cohort), 7),
        compared("generators", generators, 15),
        *steps["ckks"],
        Job("all protocols", partial(protocols, *work)),
        *steps["paillier"],
    ]


def _flower(cohort: Cohort, tell: Tell) -> list[Row]:
    """Both protocols with the same graph, threshold, losses and update; the means must agree."""
    warm(cohort.family)
    case = cohort.case
    sizes = cohort.clients, int(case["neighbours"]), int(case["threshold"]), cohort.lost
    ours = [replay(cohort, tell) for _ in range(OURS)]
    theirs = import_module("bench.flower_peer").run(update_of(cohort.dim), *sizes, tell)  # which needs Flower
    ours += [replay(cohort, tell) for _ in range(OURS)]
    both = {"secagg": ours, "Flower": [theirs]}
    return [one for by, traces in both.items() for one in phase_rows("peer", case | {"by": by}, traces)]


def _fedavg(cohort: Cohort) -> Iterator[Trial]:
    """What the same sum costs a server that reads each update's bytes and adds them to a running mean."""
    update, survivors = update_of(cohort.dim), cohort.clients - cohort.lost
    arrived = update.tobytes()

    def work() -> None:
        total = np.zeros(update.size, np.float64)
        for _ in range(survivors):
            total += np.frombuffer(arrived, np.float32)
        total /= survivors
        np.testing.assert_allclose(total[:1], update[:1], rtol=1e-6)

    yield trial("peer", work, {"bytes": 4.0 * cohort.dim}, **cohort.case, by="plain FedAvg", phase="all", role="server")


def protocols(clients: int, dim: int, tell: Tell, runs: int = 5) -> list[Row]:
    """Every protocol on the same work: one row a protocol and role, on one core.

    A client's seconds are the median client's of each phase, added up; those of phases for other roles are a key
    holder's. Bytes are one client's uploads, or all that the server sends.
    """
    rows = []
    for name in PROTOCOLS:
        cohort = Cohort.of(name, clients, dim)
        warm(cohort.family)
        with without_collector(), on_threads(1):
            traces = [replay(cohort, tell) for _ in range(runs)]
        totals = [trace.totals() for trace in traces]
        for role in (role for role in ROLES if role in totals[0]):
            case: Case = {"by": name, "role": ROLES[role], "clients": clients, "dim": dim}
            sizes = [total[f"{role} bytes"] for total in totals if f"{role} bytes" in total]
            figures = {"bytes": median(sizes)} if sizes else {}
            rows.append(row("family", case, [total[role] for total in totals], **figures))
    return rows


def ckks_by_others(clients: int, dim: int) -> Iterator[Trial]:
    """Encrypting one client's, adding all clients' and decrypting the sum, by `CkksSum` and as NVFLARE does.

    NVFLARE's server never sees a key either; its clients share one for all rounds. Both sums are checked. Bytes are
    those of one client's ciphertexts, as they are sent. Encrypting ten times as many entries comes last.
    """
    values = np.random.default_rng(0).integers(0, 2**16, dim, np.uint16)
    ours, theirs = (side(values, clients) for side in (_our_ckks, _their_ckks))
    large, size = _our_ckks(np.resize(values, 10 * dim), clients)
    sides = [("secagg", dim, *ours), (NVFLARE, dim, *theirs), ("secagg", 10 * dim, {"encrypt": large["encrypt"]}, size)]
    for by, entries, works, size in sides:
        for of, work in works.items():
            yield trial("ckks", work, {"bytes": size}, by=by, of=of, clients=clients, dim=entries)


def _our_ckks(values: Values, clients: int) -> tuple[dict[str, Work], int]:
    """The work, and bytes of one client's ciphertexts."""
    parameters = CkksSum().parameters(Session.create(range(clients), values))
    key = ckks.SecretKey(bytes(32), parameters)

    def encrypt() -> tuple[bytes, bytes]:
        body, seeds = key.encrypt(values)
        return residues.pack(body, parameters), seeds

    def add(sent: list[tuple[bytes, bytes]]) -> tuple[ckks.Residues, ckks.Residues]:
        total, masks = np.zeros(values.size, np.uint64), ckks.Masks(parameters, values.size)
        for body, seeds in sent:
            masks.add(seeds)
            ckks.add(total, residues.unpack(body, values.size, parameters, "ciphertexts"), parameters)
        found = masks.values()
        assert found is not None
        return total, found

    return _checked(encrypt, add, lambda added: key.decrypt(*added), values, clients)


def _their_ckks(values: Values, clients: int) -> tuple[dict[str, Work], int]:
    """The same with `tenseal.ckks_vector`, a vector of half the degree at a time."""
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULI)
    context.global_scale = SCALE
    parts = np.split(values.astype(np.float64), range(DEGREE // 2, values.size, DEGREE // 2))

    def encrypt() -> list[bytes]:
        return [tenseal.ckks_vector(context, part).serialize() for part in parts]

    def add(sent: list[list[bytes]]) -> list[Any]:
        totals = [tenseal.ckks_vector_from(context, data) for data in sent[0]]
        for each in sent[1:]:
            for total, data in zip(totals, each, strict=True):
                total.add_(tenseal.ckks_vector_from(context, data))
        return totals

    return _checked(encrypt, add, lambda added: np.concatenate([one.decrypt() for one in added]), values, clients)


def _checked(
    encrypt: Callable[[], Any], add: Callable[[Any], Any], decrypt: Callable[[Any], Any], values: Values, clients: int
) -> tuple[dict[str, Work], int]:
    """The three works of a side, whose sum is right, and bytes of one client's ciphertexts."""
    sent = [encrypt()] * clients
    added = add(sent)
    np.testing.assert_array_equal(np.rint(decrypt(added)), values.astype(np.int64) * clients)
    return {"encrypt": encrypt, "add": partial(add, sent), "decrypt": partial(decrypt, added)}, sum(map(len, sent[0]))


def _trial(
    what: str, dim: int, work: Work, *, by: str = "secagg", size: int = 0, values: int = 1, each: int = 1
) -> Trial:
    """`size` bytes on the wire for so many values."""
    case = {"by": by, "work": what, "dim": dim, "clients": CLIENTS, "bits": BITS, "key bits": KEY_BITS}
    return Trial("Paillier", case, work, {"size": size, "bytes a value": size / values} if size else {}, each)


def _values() -> Iterator[Trial]:
    """One value encrypted by phe, one r**n mod n**2 by gmpy2, one ciphertext of ours (102 values of a vector)."""
    key, each = paillier.generate(KEY_BITS, os.urandom).public, _slots(1000).in_each
    theirs, size = phe.PaillierPublicKey(key.n), key.ciphertext_size
    r, n_squared = gmpy2.mpz(int.from_bytes(os.urandom(255))), gmpy2.mpz(key.n_squared)
    key.encrypt([0] * 1024, os.urandom)  # a table as long vectors make it
    yield _trial("encrypt a value", 1, lambda: theirs.encrypt(0.5), by="phe", size=size)
    yield _trial("powmod(r, n, n * n)", 1, lambda: gmpy2.powmod(r, key.n, n_squared), by="gmpy2")
    ours = partial(key.encrypt, [1] * BATCH, os.urandom)
    yield _trial("encrypt a plaintext", each, ours, size=size, values=each, each=BATCH)


def _vector(dim: int) -> Iterator[Trial]:
    """A whole client's encryption; the server's addition of all clients' replies, each read and checked on arrival."""
    key, slots = paillier.generate(KEY_BITS, os.urandom).public, _slots(dim)
    vector = np.zeros(slots.dim, slots.ring.lane)
    vector[:dim] = np.arange(dim) % 2**BITS

    def encrypt() -> bytes:
        return key.write_ciphertexts(key.encrypt(slots.pack(vector), os.urandom))

    def add() -> list[int]:
        adding = key.modulus.accumulator(slots.plaintexts)
        for _ in range(CLIENTS):
            adding.multiply(key.read_ciphertexts(data, slots.plaintexts))
        return adding.values()

    data = encrypt()
    yield _trial("client encrypts", dim, encrypt, size=len(data), values=dim)
    yield _trial("server adds", dim, add, size=CLIENTS * len(data), values=CLIENTS * dim)


def _decryption(dim: int) -> Iterator[Trial]:
    """One holder's part with its proof, the server's check and combination; a single holder's."""
    slots, label = _slots(dim), opening_label(bytes(32), b"", b"")
    for name, holders, threshold in ((f"{THRESHOLD} of {HOLDERS}", HOLDERS, THRESHOLD), ("single", 1, 1)):
        keys = PaillierKeys.generate(range(holders), threshold, KEY_BITS)
        opening = keys.opening
        ciphertexts = opening.public.encrypt([1] * slots.plaintexts, os.urandom)
        secrets = [keys.secret(holder) for holder in keys.holders[:threshold]]
        opens = [partial(opening.open, secret, ciphertexts, os.urandom, label) for secret in secrets]
        parts = [work() for work in opens]
        read = {i: opening.read(values, slots.plaintexts) for i, (values, _) in enumerate(parts, 1)}
        check = partial(opening.check, 1, ciphertexts, read[1], parts[0][1], label)
        yield _trial(f"{name}: one holder's part", dim, opens[0], size=sum(map(len, parts[0])), values=dim)
        yield _trial(f"{name}: the server's check of it", dim, check)
        yield _trial(f"{name}: the server combines", dim, partial(opening.combine, read))


def _keys() -> Iterator[Trial]:
    """Fresh keys of one holder, and of several."""
    yield _trial("a key of one holder", 1, partial(paillier.generate, KEY_BITS, os.urandom))
    several = partial(paillier.deal, KEY_BITS, HOLDERS, THRESHOLD, os.urandom)
    yield _trial(f"a key of {HOLDERS} holders", 1, several)


def _slots(dim: int) -> Slots:
    session = Session.create(range(CLIENTS), np.broadcast_to(np.float32(0), (dim,)), bits=BITS)
    return PaillierSum(KEY_BITS).parameters(session).slots

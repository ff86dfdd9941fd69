"""The same work by others, in the same process, on the same inputs: Flower's SecAgg+, plain FedAvg, generators, phe,
CKKS as NVFLARE uses it; and all protocols of ours beside each other.

`python -m bench peers --clients 100 --neighbours 30 --dim 100000 --lost 29` measures one cohort,
`python -m bench peers --protocol paillier` Paillier sums, `--protocol ckks` CKKS sums.
"""

import os
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median

import gmpy2
import msgspec
import numpy as np
import phe
import tenseal
from numpy.typing import NDArray

from bench.cohorts import TABLES, Cohort, Options, tiny
from bench.kernels import MT19937, OPENSSL, PCG64, keystreams
from bench.measure import Job, Tell, Trial, Work, on_threads, side_by_side, without_collector
from bench.replay import replay, update_of, warm
from bench.results import Row, row
from secagg import Session, aggregate
from secagg.errors import ConfigError
from secagg.primitives import ckks, paillier
from secagg_protocols import PROTOCOLS, CkksSum, PaillierKeys, PaillierSum
from secagg_protocols.ckks import residues
from secagg_protocols.paillier.messages import opening_label
from secagg_protocols.paillier.slots import Slots

OURS = 3  # rounds of ours before Flower's one, and as many after it
STAGE_OF = {"keys": "setup", "shares": "share_keys", "masked": "collect_masked_vectors", "unmask": "unmask"}
"""Phase of ours: Flower's name for it."""
CLIENTS, BITS, KEY_BITS = 16, 16, 2048
HOLDERS, THRESHOLD, BATCH = 5, 3, 32
NVFLARE = "TenSEAL with NVFLARE's parameters"
DEGREE, MODULI, SCALE = 8192, [60, 40, 40], 2.0**40
"""NVFLARE's."""


def jobs(options: Options) -> list[Job]:
    """The suite's steps. Raises ConfigError where Flower is not installed and needed."""
    quick, work = options.quick, (4, 100) if options.quick else (CLIENTS, 100_000)
    dim, runs = options.dim or (2000 if quick else 1_000_000), 2 if quick else 3
    of_paillier = [
        Job("Paillier, a value", partial(_values, 3 if quick else 25)),
        Job(f"Paillier, a vector of {dim}", partial(_vector, dim, runs)),
        Job(f"Paillier, decryption of {dim // 10}", partial(_decryption, dim // 10, runs)),
        Job("Paillier, keys", partial(_keys, 2 * runs)),
    ]
    of_ckks = [Job("CKKS by others", partial(ckks_by_others, *work))]
    if options.protocol in {"paillier", "ckks"}:
        return of_paillier if options.protocol == "paillier" else of_ckks
    if find_spec("flwr") is None:
        raise ConfigError("flwr is not installed: `make bench` and `make bench-quick` install it")
    (standard,) = TABLES.single["flower"]
    cohort = tiny(standard) if quick else standard
    if options.is_one_case:
        cohort, of_paillier = options.cohort(standard), []
    return [
        Job(f"Flower and ours, {cohort.title}", partial(_flower, cohort)),
        Job("plain FedAvg", partial(_fedavg, cohort)),
        Job("generators", partial(_generators, cohort.dim)),
        *of_ckks,
        Job("all protocols", partial(protocols, *work)),
        *of_paillier,
    ]


def _flower(cohort: Cohort, tell: Tell) -> list[Row]:
    """Both protocols with the same graph, threshold, losses and update; the means must agree."""
    warm(cohort.family)
    case, rows = cohort.case, []
    sizes = cohort.clients, int(case["neighbours"]), int(case["threshold"]), cohort.lost
    ours = [replay(cohort, tell) for _ in range(OURS)]
    theirs = import_module("bench.flower_peer").run(update_of(cohort.dim), *sizes, tell)  # which needs Flower
    ours += [replay(cohort, tell) for _ in range(OURS)]

    def add(by: str, phase: str, client: list[float], server: list[float], size: float) -> None:
        whose = case | {"by": by, "phase": phase}
        rows.append(row("peer", whose | {"role": "client"}, client, bytes=size))
        rows.append(row("peer", whose | {"role": "server"}, server))

    for phase in STAGE_OF:
        client = [taken for trace in ours for taken in trace.client[phase]]
        size = median(size for trace in ours for size in trace.replied[phase])
        add("secagg", phase, client, [trace.server[phase][0].item() for trace in ours], size)
    for phase, stage in STAGE_OF.items():
        add("Flower", phase, theirs.client[stage], [theirs.server[stage]], theirs.reply[stage])
    return rows


def _fedavg(cohort: Cohort, _tell: Tell) -> list[Row]:
    """What the same sum costs a server that reads each update's bytes and adds them to a running mean."""
    update, survivors = update_of(cohort.dim), cohort.clients - cohort.lost
    arrived = update.tobytes()

    def work() -> None:
        total = np.zeros(update.size, np.float64)
        for _ in range(survivors):
            total += np.frombuffer(arrived, np.float32)
        total /= survivors
        np.testing.assert_allclose(total[:1], update[:1], rtol=1e-6)

    case = cohort.case | {"by": "plain FedAvg", "phase": "all", "role": "server"}
    return side_by_side([Trial("peer", case, work, {"bytes": 4.0 * cohort.dim})], 7)


def _generators(dim: int, _tell: Tell) -> list[Row]:
    return side_by_side(keystreams("keystream", 4 * dim, OPENSSL, PCG64, MT19937, dim=dim), 15)


def protocols(clients: int, dim: int, tell: Tell, runs: int = 5) -> list[Row]:
    """Every protocol on the same work: one row a protocol and role, of `secagg.aggregate`.

    A client's seconds are the median client's of each phase, added up; those of phases for other roles are a key
    holder's. Bytes are one client's uploads, or all that the server sends.
    """
    updates, rows = dict.fromkeys(range(clients), update_of(dim)), []
    for name, factory in PROTOCOLS.items():
        tell(f"{name}: a round")
        aggregate(dict.fromkeys(range(4), update_of(64)), factory(4), bits=BITS)  # compiles, loads
        scheme = factory(clients)
        with without_collector(), on_threads(1):
            outs = [aggregate(updates, scheme, bits=BITS) for _ in range(runs)]
        whose = {(phase.name, "server"): "server" for phase in scheme.phases}
        whose |= {(at.name, "client"): "client" if at.role == "client" else "key holder" for at in scheme.phases}
        for role in sorted(set(whose.values())):
            seconds = [sum(took for at, took in out.seconds.items() if whose[at] == role) for out in outs]
            sent = [sum(size for (_, of), size in out.traffic.items() if of == role) for out in outs]
            figures = {} if role == "key holder" else {"bytes": median(sent)}
            rows.append(row("family", {"by": name, "role": role, "clients": clients, "dim": dim}, seconds, **figures))
    return rows


def ckks_by_others(clients: int, dim: int, tell: Tell, runs: int = 7) -> list[Row]:
    """Encrypting one client's, adding all clients' and decrypting the sum, by `CkksSum` and as NVFLARE does, in turns.

    NVFLARE's server never sees a key either; its clients share one for all rounds. Both sums are checked. Bytes are
    those of one client's ciphertexts, as they are sent.
    """
    values = np.random.default_rng(0).integers(0, 2**16, dim, np.uint16)
    sides, rows = {"secagg": _our_ckks(values, clients), NVFLARE: _their_ckks(values, clients)}, []

    def trial(by: str, of: str, entries: int, works: dict[str, Work], size: int) -> Trial:
        return Trial("ckks", {"by": by, "of": of, "clients": clients, "dim": entries}, works[of], {"bytes": size})

    for of in ("encrypt", "add", "decrypt"):
        tell(f"CKKS: {of}")
        rows += side_by_side([trial(by, of, dim, *side) for by, side in sides.items()], runs)
    tell("CKKS: encrypt ten times as many")
    large = trial("secagg", "encrypt", 10 * dim, *_our_ckks(np.resize(values, 10 * dim), clients))
    return [*rows, *side_by_side([large], runs)]


def _our_ckks(values: NDArray[np.uint16], clients: int) -> tuple[dict[str, Work], int]:
    """The work, and bytes of one client's ciphertexts."""
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
    np.testing.assert_array_equal(key.decrypt(*added), values.astype(np.int64) * clients)
    return {"encrypt": encrypt, "add": add, "decrypt": lambda: key.decrypt(*added)}, sum(map(len, sent[0]))


def _their_ckks(values: NDArray[np.uint16], clients: int) -> tuple[dict[str, Work], int]:
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
    np.testing.assert_array_equal(np.rint(decrypt()), values.astype(np.int64) * clients)
    return {"encrypt": encrypt, "add": add, "decrypt": decrypt}, sum(map(len, sent[0]))


def _trial(
    what: str, dim: int, work: Work, *, by: str = "secagg", size: int = 0, values: int = 1, each: int = 1
) -> Trial:
    """`size` bytes on the wire for so many values."""
    case = {"by": by, "work": what, "dim": dim, "clients": CLIENTS, "bits": BITS, "key bits": KEY_BITS}
    return Trial("Paillier", case, work, {"size": size, "bytes a value": size / values} if size else {}, each)


@on_threads(1)
def _values(runs: int, _tell: Tell) -> list[Row]:
    """One value encrypted by phe, one r**n mod n**2 by gmpy2, one ciphertext of ours (102 values of a vector)."""
    key, each = paillier.generate(KEY_BITS, os.urandom).public, _slots(1000).in_each
    theirs, size = phe.PaillierPublicKey(key.n), key.ciphertext_size
    r, n_squared = gmpy2.mpz(int.from_bytes(os.urandom(255))), gmpy2.mpz(key.n_squared)
    key.encrypt([0] * 1024, os.urandom)  # a table as long vectors make it
    ours = partial(key.encrypt, [1] * BATCH, os.urandom)
    trials = [
        _trial("encrypt a value", 1, lambda: theirs.encrypt(0.5), by="phe", size=size),
        _trial("powmod(r, n, n * n)", 1, lambda: gmpy2.powmod(r, key.n, n_squared), by="gmpy2"),
        _trial("encrypt a plaintext", each, ours, size=size, values=each, each=BATCH),
    ]
    by_phe, by_gmpy2, by_us = side_by_side(trials, runs)
    ratios = {
        "phe's seconds a value over ours": by_phe.seconds / by_us.seconds * each,
        "gmpy2's seconds over ours": by_gmpy2.seconds / by_us.seconds,
    }
    return [by_phe, by_gmpy2, msgspec.structs.replace(by_us, figures=by_us.figures | ratios)]


@on_threads(1)
def _vector(dim: int, runs: int, _tell: Tell) -> list[Row]:
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
    trials = [
        _trial("client encrypts", dim, encrypt, size=len(data), values=dim),
        _trial("server adds", dim, add, size=CLIENTS * len(data), values=CLIENTS * dim),
    ]
    return side_by_side(trials, runs, warm=False)


@on_threads(1)
def _decryption(dim: int, runs: int, _tell: Tell) -> list[Row]:
    """One holder's part with its proof, the server's check and combination; a single holder's."""
    slots, label, rows = _slots(dim), opening_label(bytes(32), b"", b""), []
    for name, holders, threshold in ((f"{THRESHOLD} of {HOLDERS}", HOLDERS, THRESHOLD), ("single", 1, 1)):
        keys = PaillierKeys.generate(range(holders), threshold, KEY_BITS)
        opening = keys.opening
        ciphertexts = opening.public.encrypt([1] * slots.plaintexts, os.urandom)
        secrets = [keys.secret(holder) for holder in keys.holders[:threshold]]
        opens = [partial(opening.open, secret, ciphertexts, os.urandom, label) for secret in secrets]
        parts = [work() for work in opens]
        read = {i: opening.read(values, slots.plaintexts) for i, (values, _) in enumerate(parts, 1)}
        check = partial(opening.check, 1, ciphertexts, read[1], parts[0][1], label)
        trials = [
            _trial(f"{name}: one holder's part", dim, opens[0], size=sum(map(len, parts[0])), values=dim),
            _trial(f"{name}: the server's check of it", dim, check),
        ]
        combined = _trial(f"{name}: the server combines", dim, partial(opening.combine, read))
        rows += side_by_side(trials, runs, warm=False) + side_by_side([combined], 1, warm=False)
    return rows


@on_threads(1)
def _keys(runs: int, _tell: Tell) -> list[Row]:
    """Fresh keys of one holder, and of several."""
    several = partial(paillier.deal, KEY_BITS, HOLDERS, THRESHOLD, os.urandom)
    one = _trial("a key of one holder", 1, partial(paillier.generate, KEY_BITS, os.urandom))
    return side_by_side([one, _trial(f"a key of {HOLDERS} holders", 1, several)], runs, warm=False)


def _slots(dim: int) -> Slots:
    session = Session.create(range(CLIENTS), np.broadcast_to(np.float32(0), (dim,)), bits=BITS)
    return PaillierSum(KEY_BITS).parameters(session).slots

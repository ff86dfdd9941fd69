"""What the engine promised to reach, and whether it was measured to."""

from collections.abc import Callable

from bench.report import ciphertexts
from bench.report.verdict import KERNELS, PEERS, ROUNDS, Found, Target, Verdict
from bench.results import Results, Row
from bench.screen import duration

FLOWER: dict[str, int] = {"clients": 100, "neighbours": 30, "dim": 100_000}


def _ratio(
    found: Found, suite: str, above: Callable[[Results], Row | None], below: Callable[[Results], Row | None]
) -> float | None:
    """Rate of one row over that of another of the same run, None where one is missing."""
    if suite not in found:
        return None
    one, other = above(found[suite]), below(found[suite])
    return None if one is None or other is None else one.rate / other.rate


def _add_masks(**case: str | float) -> Callable[[Results], Row | None]:
    return lambda results: results.one("target: add_masks", **case)


def _best(results: Results, threads: int = 1) -> Row | None:
    """This machine's own path."""
    return results.one("target: add_masks", path=results.machine.kernel, threads=threads, dim=1 << 20)


def _openssl(results: Results) -> Row | None:
    return results.one("target: keystream", by="OpenSSL AES-128-CTR")


def _times(value: float | None, least: float) -> Verdict | None:
    return None if value is None else Verdict(f"{value:.2f}x", value >= least)


def _against_openssl(found: Found) -> Verdict | None:
    value = _ratio(found, "kernels", _best, _openssl)
    if value is None:
        return None
    path = found["kernels"].machine.kernel
    if path != "vaes512":
        return Verdict(f"no AVX-512 on this machine; {path} reaches {value:.2f}x", None)
    return _times(value, 2.2)


def _two_threads(found: Found) -> Verdict | None:
    return _times(_ratio(found, "kernels", lambda r: _best(r, 2), _best), 1.75)


def _short(found: Found) -> Verdict | None:
    return _times(_ratio(found, "kernels", _add_masks(dim=4096, threads=1), _best), 0.5)


def _portable(found: Found) -> Verdict | None:
    return _times(_ratio(found, "kernels", _add_masks(path="portable", dim=1 << 20), _openssl), 0.6)


def _agreement(found: Found) -> Verdict | None:
    if "kernels" not in found:
        return None
    batched = found["kernels"].one("agreement", by="derive_many", pairs=1024, threads=1)
    single = found["kernels"].one("agreement", by="cryptography", pairs=1024)
    if batched is None or single is None:
        return None
    ratio, each = single.seconds / batched.seconds, duration(batched.seconds / 1024)
    if batched.case["path"] == "ifma":
        return Verdict(f"{ratio:.2f}x: {each} a pair", ratio >= 5)
    return Verdict(f"no AVX-512 IFMA on this machine; {batched.case['path']} reaches {ratio:.2f}x, {each} a pair", None)


def _quantize(found: Found) -> Verdict | None:
    row = found["kernels"].one("encoding", of="quantize and pack", dim=1 << 20) if "kernels" in found else None
    return None if row is None else Verdict(f"{row.rate / 1e9:.2f} GB/s", row.rate >= 1e9)


def _flower(role: str, phases: tuple[str, ...], least: float) -> Callable[[Found], Verdict | None]:
    def judge(found: Found) -> Verdict | None:
        if "peers" not in found:
            return None
        taken = {}
        for by in ("secagg", "Flower"):
            rows = [found["peers"].one("peer", by=by, role=role, phase=phase, **FLOWER) for phase in phases]
            taken[by] = sum(row.seconds for row in rows if row is not None)
        if not all(taken.values()):
            return None
        value = taken["Flower"] / taken["secagg"]
        text = f"{value:.0f}x: {duration(taken['secagg'])} against {duration(taken['Flower'])}"
        return Verdict(text, value >= least)

    return judge


def _full_graph(found: Found) -> Verdict | None:
    row = found["rounds"].one("large round", protocol="SecAgg", clients=500) if "rounds" in found else None
    if row is None:
        return None
    return Verdict(f"{duration(row.seconds)}{_computed(row, '')}", row.seconds <= 3)


def _large(found: Found) -> Verdict | None:
    row = found["rounds"].one("large round", protocol="SecAgg+", clients=1000) if "rounds" in found else None
    if row is None:
        return None
    server, client = row.figures["server unmask"], row.figures["client masked"]
    text = f"{duration(server)}{_computed(row, ' unmask')} / {duration(client)}"
    return Verdict(text, server <= 6 and client <= 0.050)


def _computed(row: Row, phase: str) -> str:
    """Processor time, which other programs do not lengthen."""
    cpu, thread = row.figures[f"server cpu{phase}"], row.figures[f"server thread{phase}"]
    return f" ({duration(cpu)} of processor time, {duration(thread)} of it in one thread)"


def _memory(found: Found) -> Verdict | None:
    if "rounds" not in found:
        return None
    few, many = (found["rounds"].one("memory", clients=clients) for clients in (100, 1000))
    if few is None or many is None:
        return None
    value = many.figures["after"] / few.figures["after"]
    text = f"{value:.2f}x: {many.figures['after'] / 1e6:.0f} MB against {few.figures['after'] / 1e6:.0f} MB"
    return Verdict(text, value <= 1.15)


def _upload(found: Found) -> Verdict | None:
    row = found["handlers"].one("upload", clients=1 << 10, dim=1 << 20) if "handlers" in found else None
    if row is None:
        return None
    bits, over = row.figures["ring bits"], row.figures["over"]
    return Verdict(f"{bits:.0f} bits and {100 * over:.4f} %", bits == 26 and 0 <= over < 0.001)


def _start(found: Found) -> Verdict | None:
    row = found["rounds"].one("start", of="first aggregate of 10 x 1000") if "rounds" in found else None
    return None if row is None else Verdict(duration(row.seconds), row.seconds <= 1.5)


TARGETS = (
    Target(
        "`prg.add_masks`, uint32, k = 100, dim 2^20, against OpenSSL AES-128-CTR writing its keystream alone",
        "2.2x on VAES-512",
        KERNELS,
        _against_openssl,
    ),
    Target("the same with two threads against one", "1.75x", KERNELS, _two_threads),
    Target("the same at dim 4096, against its rate at 2^20", "0.5x", KERNELS, _short),
    Target("portable path against OpenSSL keystream alone", "0.6x", KERNELS, _portable),
    Target(
        "batched agreement (X25519 + HKDF, 1024 pairs) against `cryptography` pair by pair", "5x", KERNELS, _agreement
    ),
    Target("quantize + pack, float32 to 20-bit, of input", "1 GB/s", KERNELS, _quantize),
    Target(
        "SecAgg+ client, n = 100, k = 30, dim 100 000: shares and masked phases together, against Flower's own code",
        "30x faster",
        PEERS,
        _flower("client", ("shares", "masked"), 30),
    ),
    Target(
        "SecAgg+ server unmask, the same, t = 21, 29 lost after sharing, both cores, against Flower's",
        "500x faster",
        PEERS,
        _flower("server", ("unmask",), 500),
    ),
    Target(
        "SecAgg full graph, n = 500, dim 100 000, 30 % lost: server, all phases, both cores",
        "3 s",
        f"{ROUNDS} --protocol secagg --clients 500 --dim 100000 --lost 150",
        _full_graph,
    ),
    Target(
        "SecAgg+ n = 1000, k = 102, dim 2^20, 30 % lost: server unmask, both cores / a client's masked phase, one core",
        "6 s / 50 ms",
        f"{ROUNDS} --clients 1000 --neighbours 102 --dim 1048576 --lost 300",
        _large,
    ),
    Target(
        "server's peak resident memory, SecAgg+ k = 30, dim 2^20, n = 1000 against n = 100", "1.15x", ROUNDS, _memory
    ),
    Target(
        "upload of the masked vector, 16-bit inputs, n = 2^10, dim 2^20: bits an entry, and what is added to them",
        "26 bits + under 0.1 %",
        "python -m bench handlers",
        _upload,
    ),
    Target(
        "warm start: import + first aggregate of 10 x 1000 in a fresh process with kernels cached on disk",
        "1.5 s",
        ROUNDS,
        _start,
    ),
    *ciphertexts.TARGETS,
)

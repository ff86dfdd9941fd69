"""What the engine promised to reach, and whether it was measured to. The promises stand in the page's template."""

from functools import partial

from bench.results import Found, Row, duration

Verdict = tuple[str, bool | None]
"""A measured figure, for people, and whether it suffices: None where this machine cannot tell."""
NO_IFMA = "no AVX-512 IFMA on this machine"
MILLION, TENTH = 1_000_000, 100_000


class NotMeasured(LookupError):
    """The results lack a row."""


def _row(found: Found, what: str, **case: object) -> Row:
    """The first of any suite. Raises NotMeasured."""
    for row in (row for results in found.values() for row in results.all(what, **case)):
        return row
    raise NotMeasured(f"{what}, {case}")


def _masks(found: Found, **case: object) -> Row:
    """By this machine's own path on one thread, at dim 2^20, unless the case says otherwise."""
    kernel = found["kernels"].machine.kernel if "kernels" in found else ""
    return _row(found, "target: add_masks", **({"path": kernel, "threads": 1, "dim": 1 << 20} | case))


_openssl = partial(_row, what="target: keystream", by="OpenSSL AES-128-CTR")
_paillier = partial(_row, what="Paillier")
_ckks = partial(_row, what="ckks", by="secagg", of="encrypt", clients=16)


def _times(one: Row, other: Row, least: float) -> Verdict:
    """The rate of one row over that of another of the same run."""
    return f"{one.rate / other.rate:.2f}x", one.rate / other.rate >= least


def _within(row: Row, most: float) -> Verdict:
    return duration(row.seconds), row.seconds <= most


def _bytes_each(size: float, most: float) -> Verdict:
    return f"{size:.2f} bytes", size < most


def _with_ifma(found: Found, verdict: Verdict) -> Verdict:
    """A miss is none on a machine without these instructions."""
    text, met = verdict
    return verdict if met or "avx512ifma" in found["peers"].machine.features else (f"{text}; {NO_IFMA}", None)


def _against_openssl(found: Found) -> Verdict:
    verdict, path = _times(_masks(found), _openssl(found), 2.2), _masks(found).case["path"]
    return verdict if path == "vaes512" else (f"no AVX-512 on this machine; {path} reaches {verdict[0]}", None)


def _agreement(found: Found) -> Verdict:
    batched = _row(found, "agreement", by="derive_many", pairs=1024, threads=1)
    ratio = _row(found, "agreement", by="cryptography", pairs=1024).seconds / batched.seconds
    path, each = batched.case["path"], duration(batched.seconds / 1024)
    if path == "ifma":
        return f"{ratio:.2f}x: {each} a pair", ratio >= 5
    return f"{NO_IFMA}; {path} reaches {ratio:.2f}x, {each} a pair", None


def _quantize(found: Found) -> Verdict:
    rate = _row(found, "encoding", of="quantize and pack", dim=1 << 20).rate
    return f"{rate / 1e9:.2f} GB/s", rate >= 1e9


def _flower(found: Found, role: str, phases: tuple[str, ...], least: float) -> Verdict:
    case = {"role": role, "clients": 100, "neighbours": 30, "dim": TENTH}
    ours, theirs = (
        sum(_row(found, "peer", by=by, phase=phase, **case).seconds for phase in phases) for by in ("secagg", "Flower")
    )
    return f"{theirs / ours:.0f}x: {duration(ours)} against {duration(theirs)}", theirs / ours >= least


def _full_graph(found: Found) -> Verdict:
    row = _row(found, "large round", protocol="SecAgg", clients=500)
    return f"{duration(row.seconds)}{_computed(row, '')}", row.seconds <= 3


def _large(found: Found) -> Verdict:
    row = _row(found, "large round", protocol="SecAgg+", clients=1000)
    server, client = row.figures["server unmask"], row.figures["client masked"]
    return f"{duration(server)}{_computed(row, ' unmask')} / {duration(client)}", server <= 6 and client <= 0.050


def _computed(row: Row, phase: str) -> str:
    """Processor time, which other programs do not lengthen."""
    cpu, thread = row.figures[f"server cpu{phase}"], row.figures[f"server thread{phase}"]
    return f" ({duration(cpu)} of processor time, {duration(thread)} of it in one thread)"


def _memory(found: Found) -> Verdict:
    few, many = (_row(found, "memory", clients=clients).figures["after"] for clients in (100, 1000))
    return f"{many / few:.2f}x: {many / 1e6:.0f} MB against {few / 1e6:.0f} MB", many / few <= 1.15


def _upload(found: Found) -> Verdict:
    figures = _row(found, "upload", clients=1 << 10, dim=1 << 20).figures
    bits, over = figures["ring bits"], figures["over"]
    return f"{bits:.0f} bits and {100 * over:.4f} %", bits == 26 and 0 <= over < 0.001


def _encryptions(found: Found) -> Verdict:
    """By the paths of this machine, and by gmpy2's, of encryptions a second on one core."""
    theirs = _row(found, "Paillier encryption", by="gmpy2 powmod(r, n, n*n)", bits=2048)
    rows = found["kernels"].all("Paillier encryption", bits=2048, threads=1)
    rates = {row.case["by"]: row.figures["encryptions"] / row.seconds for row in rows}
    once = rates.pop(theirs.case["by"])
    text, portable = ", ".join(f"{by} {rate / once:.1f}x" for by, rate in rates.items()), rates["portable"] / once >= 10
    if "ifma" in rates:
        return text, rates["ifma"] >= 80 * once and portable
    return f"{text}; {NO_IFMA}", None if portable else False


def _against_phe(found: Found) -> Verdict:
    theirs, ours = (_paillier(found, work=f"encrypt a {what}") for what in ("value", "plaintext"))
    ratio = theirs.seconds / ours.seconds * float(ours.case["dim"])
    return _with_ifma(found, (f"{ratio:.0f}x", ratio >= 8000))


TARGETS = {
    "masks against OpenSSL": _against_openssl,
    "two threads": lambda found: _times(_masks(found, threads=2), _masks(found), 1.75),
    "short masks": lambda found: _times(_masks(found, dim=4096), _masks(found), 0.5),
    "portable masks": lambda found: _times(_masks(found, path="portable"), _openssl(found), 0.6),
    "agreement": _agreement,
    "quantize and pack": _quantize,
    "client against Flower": lambda found: _flower(found, "client", ("shares", "masked"), 30),
    "server against Flower": lambda found: _flower(found, "server", ("unmask",), 500),
    "full graph": _full_graph,
    "large round": _large,
    "memory": _memory,
    "upload": _upload,
    "start": lambda found: _within(_row(found, "start", of="first aggregate of 10 x 1000"), 1.5),
    "Paillier against gmpy2": _encryptions,
    "Paillier against phe": _against_phe,
    "Paillier encrypts": lambda f: _with_ifma(f, _within(_paillier(f, work="client encrypts", dim=MILLION), 2)),
    "Paillier adds": lambda found: _within(_paillier(found, work="server adds", dim=MILLION), 1),
    "Paillier opens": lambda f: _with_ifma(f, _within(_paillier(f, work="3 of 5: one holder's part", dim=TENTH), 5)),
    "Paillier bytes": lambda f: _bytes_each(
        _paillier(f, work="client encrypts", dim=MILLION).figures["bytes a value"], 5.1
    ),
    "CKKS bytes": lambda found: _bytes_each(_ckks(found, dim=TENTH).figures["bytes"] / TENTH, 6),
    "CKKS encrypts": lambda found: _within(_ckks(found, dim=MILLION), 0.4),
}
"""{promise: what judges it, and raises NotMeasured where the results lack it}."""

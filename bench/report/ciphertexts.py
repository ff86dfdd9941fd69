"""Sums of ciphertexts: what they promised to reach, and their tables."""

from collections.abc import Callable

from bench.report.verdict import KERNELS, PEERS, Found, Target, Verdict
from bench.results import Results, Row
from bench.screen import duration

Rows = list[tuple[str, ...]]
POWMOD = "gmpy2 powmod(r, n, n*n)"
MILLION, TENTH = 1_000_000, 100_000
TRUSTS = {
    "secagg": "fewer than t share holders collude with the server",
    "secagg+": "the same, among a client's k neighbours",
    "paillier": "the client that holds the round's key does not collude with the server",
    "ckks": "no client colludes with the server",
}
"""Protocol: what it asks of others, where the server follows the protocol."""


def _encryptions(found: Found) -> Verdict | None:
    """By the best path of this machine, and by gmpy2's, of encryptions a second on one core."""
    if "kernels" not in found:
        return None
    rows = found["kernels"].all("Paillier encryption", bits=2048, threads=1)
    rates = {str(row.case["by"]): row.figures["encryptions"] / row.seconds for row in rows}
    if POWMOD not in rates or "portable" not in rates:
        return None
    ratios = {name: rate / rates[POWMOD] for name, rate in rates.items() if name != POWMOD}
    text = ", ".join(f"{name} {ratio:.1f}x" for name, ratio in ratios.items())
    if "ifma" in ratios:
        return Verdict(text, ratios["ifma"] >= 80 and ratios["portable"] >= 10)
    return Verdict(f"{text}; no AVX-512 IFMA on this machine", None if ratios["portable"] >= 10 else False)


def _seconds(work: str, dim: int, least: float, needs_ifma: bool) -> Callable[[Found], Verdict | None]:
    def judge(found: Found) -> Verdict | None:
        row = _paillier(found, work, dim)
        if row is None:
            return None
        met = row.seconds < least
        if needs_ifma and not met and "avx512ifma" not in found["peers"].machine.features:
            return Verdict(f"{duration(row.seconds)}; no AVX-512 IFMA on this machine", None)
        return Verdict(duration(row.seconds), met)

    return judge


def _against_phe(found: Found) -> Verdict | None:
    theirs, ours = _paillier(found, "encrypt a value", 1), _paillier(found, "encrypt a plaintext")
    if theirs is None or ours is None:
        return None
    value = theirs.seconds / ours.seconds * float(ours.case["dim"])
    if value < 8000 and "avx512ifma" not in found["peers"].machine.features:
        return Verdict(f"{value:.0f}x; no AVX-512 IFMA on this machine", None)
    return Verdict(f"{value:.0f}x", value >= 8000)


def _paillier_bytes(found: Found) -> Verdict | None:
    row = _paillier(found, "client encrypts", MILLION)
    if row is None:
        return None
    value = row.figures["bytes a value"]
    return Verdict(f"{value:.2f} bytes", value < 5.1)


def _paillier(found: Found, work: str, dim: int | None = None) -> Row | None:
    if "peers" not in found:
        return None
    case: dict[str, str | int] = {"work": work} if dim is None else {"work": work, "dim": dim}
    return found["peers"].one("Paillier", **case)


def _ckks_bytes(found: Found) -> Verdict | None:
    row = _ckks(found, TENTH)
    if row is None:
        return None
    value = row.figures["bytes"] / float(row.case["dim"])
    return Verdict(f"{value:.2f} bytes", value < 6.0)


def _ckks_encrypt(found: Found) -> Verdict | None:
    row = _ckks(found, MILLION)
    return None if row is None else Verdict(duration(row.seconds), row.seconds < 0.4)


def _ckks(found: Found, dim: int) -> Row | None:
    return found["peers"].one("ckks", by="secagg", of="encrypt", clients=16, dim=dim) if "peers" in found else None


_ADDS = _seconds("server adds", MILLION, 1.0, needs_ifma=False)
TARGETS = (
    Target(
        "Paillier-2048 encryptions a second, one core, against gmpy2's `powmod(r, n, n * n)`",
        "80x with IFMA, 10x portable",
        KERNELS,
        _encryptions,
    ),
    Target("Paillier, a 16-bit value of 16 clients, packed, against phe's `encrypt`", "8000x", PEERS, _against_phe),
    Target(
        "Paillier, one client's encryption of dim 10^6, one core",
        "2 s with IFMA",
        PEERS,
        _seconds("client encrypts", MILLION, 2.0, needs_ifma=True),
    ),
    Target("Paillier, the server adds 16 clients' ciphertexts of dim 10^6, checked, one core", "1 s", PEERS, _ADDS),
    Target(
        "Paillier, 3 of 5 holders, dim 10^5: one holder's part with its proof, one core",
        "5 s with IFMA",
        PEERS,
        _seconds("3 of 5: one holder's part", TENTH, 5.0, needs_ifma=True),
    ),
    Target("Paillier, bytes per 16-bit value of 16 clients on the wire", "5.1", PEERS, _paillier_bytes),
    Target("CKKS, 16 clients, 16 bits, dim 100 000: bytes per value sent by a client", "6.0", PEERS, _ckks_bytes),
    Target("CKKS, the same, dim 10^6: encrypting and packing, one core", "0.4 s", PEERS, _ckks_encrypt),
)

PAILLIER_HEAD = ("by", "what", "entries", "time", "bytes an entry")
CKKS_HEAD = ("what", "secagg", "TenSEAL, NVFLARE's parameters", "secagg's bytes per value", "theirs")
FAMILIES_HEAD = (
    "protocol",
    "client",
    "key holder",
    "server",
    "bytes of a client",
    "bytes of the server, to all",
    "relies on",
)


def paillier_rows(results: Results) -> Rows:
    """Ours, phe's and gmpy2's."""
    return [
        (
            str(row.case["by"]),
            str(row.case["work"]),
            f"{row.case['dim']:,}",
            duration(row.seconds),
            f"{row.figures['bytes a value']:.2f}" if "bytes a value" in row.figures else "",
        )
        for row in results.all("Paillier")
    ]


def ckks_rows(results: Results) -> Rows:
    """Ours beside NVFLARE's."""
    rows: Rows = []
    for one in results.all("ckks", by="secagg"):
        dim = int(one.case["dim"])
        other = results.one("ckks", by="TenSEAL with NVFLARE's parameters", of=one.case["of"], dim=dim)
        there = ("", "") if other is None else (duration(other.seconds), f"{other.figures['bytes'] / dim:.2f}")
        size = f"{one.figures['bytes'] / dim:.2f}"
        rows.append((f"{one.case['of']}, dim {dim:,}", duration(one.seconds), there[0], size, there[1]))
    return rows


def family_rows(results: Results) -> Rows:
    """All protocols on the same work."""
    rows: Rows = []
    for client in results.all("family", role="client"):
        name = str(client.case["by"])
        holder, server = (results.one("family", by=name, role=role) for role in ("key holder", "server"))
        if server is not None:
            times = (duration(row.seconds) if row is not None else "" for row in (client, holder, server))
            sizes = (f"{row.figures['bytes']:,.0f}" for row in (client, server))
            rows.append((name, *times, *sizes, TRUSTS.get(name, "")))
    return rows

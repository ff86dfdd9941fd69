"""The page: prose from a template, and tables whose every figure is a row of the JSON."""

from collections.abc import Iterable, Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.parts import REST
from bench.report import ciphertexts
from bench.report.fits import AXES, CIPHERTEXT_AXES, CIPHERTEXT_CURVES, CURVES, Axis, Curves, curve
from bench.report.targets import TARGETS
from bench.results import Results, Row, title_of
from bench.screen import duration

REMEDIES = {
    "mask streams": "nothing: it is the work itself",
    "X25519 and HKDF of pairs": "eight exchanges at once (AVX-512 IFMA) where this machine makes four",
    "keys for sealing": "HKDF of many pairs in a kernel",
    "Shamir": "nothing: it is the drawing of coefficients from the system's entropy",
    "hashes of shares": "SHA-256 of many shares in a kernel, without a call from Python for each",
    "X25519 of single keys": "the same as for pairs; at the server, a table of the few points of low order",
    "relay and lookup of rows": "rows that go from the dealers' frames to the holders' without a copy between",
    "message codec": "nothing: it is one copy of each byte",
    "sealing and opening": "AES-GCM of many boxes in one call",
    "frames and their checksums": "a checksum faster than SHA-256: it finds damage, not forgery",
    "unpack and add": "threads over tiles",
    "quantize": "threads over tiles",
    "pack": "threads over tiles",
    "Paillier keys and their proofs": "keys dealt in advance, which serve many rounds",
    "Paillier encryption": "wider vectors (AVX-512 IFMA)",
    "sums of Paillier ciphertexts": "threads over ciphertexts",
    "opening of Paillier sums": "threads over ciphertexts",
    "CKKS keys from their seeds": "nothing: it is one transform, and SEAL's key",
    "CKKS encryption": "noise drawn in a kernel instead of by SEAL",
    "sums of CKKS ciphertexts": "uniform halves expanded in a kernel instead of by SEAL",
    "opening of CKKS sums": "the product in a kernel instead of by SEAL",
    "coefficients packed and unpacked": "threads over tiles",
    REST: "rows of messages as arrays where they are Python objects now",
}
"""Part: what would remove it."""
WORTH = 0.05  # of a role's whole round: a phase below it is not worth a row
SUITES = ("kernels", "handlers", "rounds", "peers")
PHASES = ("keys", "deal", "shares", "masked", "encrypted", "unmask", "decrypt")
ROLES = ("client", "dealer", "holder", "server")

_TEMPLATES = Environment(
    loader=PackageLoader("bench.report", ""),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)


def text(found: Mapping[str, Results]) -> str:
    """The whole page."""
    return _TEMPLATES.get_template("page.md.jinja").render(
        quick=any(results.quick for results in found.values()),
        missing=[name for name in SUITES if name not in found],
        machine=_machine(next(iter(found.values()))),
        runs=_runs(found),
        targets=_targets(found),
        kernels=_kernels(found["kernels"]) if "kernels" in found else None,
        phases=_phases(found["handlers"]) if "handlers" in found else None,
        growth=_growth(found["rounds"], AXES, CURVES) if "rounds" in found else None,
        ciphertext_growth=_growth(found["rounds"], CIPHERTEXT_AXES, CIPHERTEXT_CURVES) if "rounds" in found else None,
        dominant=_dominant(found["rounds"]) if "rounds" in found else None,
        peers=_peers(found["peers"]) if "peers" in found else None,
    )


def _machine(results: Results) -> str:
    where = results.machine
    facts = (
        ("processor", where.cpu),
        ("instructions", ", ".join(where.features)),
        ("cores, memory", f"{where.cores}, {where.memory / 2**30:.0f} GiB"),
        ("system", f"{where.system}, Python {where.python}, {where.openssl}"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in where.libraries.items())),
        ("mask kernel", where.kernel),
    )
    return _table(("what", "found"), facts)


def _runs(found: Mapping[str, Results]) -> str:
    rows = [
        (
            name,
            f"`{found[name].command}`",
            found[name].machine.commit or "none",
            duration(found[name].seconds),
            f"{found[name].machine.load:.1f}",
        )
        for name in SUITES
        if name in found
    ]
    return _table(("suite", "command", "commit", "took", "load before"), rows, numbers=3)


def _targets(found: Mapping[str, Results]) -> str:
    rows = []
    for target in TARGETS:
        verdict = target.judge(found)
        measured = "not measured" if verdict is None else verdict.text
        met = "" if verdict is None else {None: "not on this machine", True: "yes", False: "**no**"}[verdict.met]
        rows.append((target.what, target.least, measured, met, f"`{target.command}`"))
    return _table(("what", "to reach", "measured", "reached", "command"), rows)


def _kernels(results: Results) -> dict[str, str]:
    masks = [
        (*(str(row.case[name]) for name in ("path", "lane", "threads")), *_rate_and_spread(row))
        for row in results.all("add_masks")
    ]
    masks += [(str(row.case["by"]), "", "1", *_rate_and_spread(row)) for row in results.all("target: keystream")]
    primitives = [
        (f"Shamir, {row.case['of']}, {row.case['threshold']} of {row.case['holders']}", *_time_and_spread(row))
        for row in results.all("sharing")
    ]
    primitives += [(_agreement(row), *_time_and_spread(row)) for row in results.all("agreement")]
    lengths = [
        (*(str(row.case[name]) for name in ("dim", "keys", "threads")), *_rate_and_spread(row))
        for axis in ("keys", "entries")
        for row in results.all(f"add_masks by {axis}")
    ]
    encodings = [(str(row.case["of"]), *_rate_and_spread(row)) for row in results.all("encoding")]
    case = results.all("add_masks")[0].case
    return {
        "heading": f"{case['keys']} masks, made and added to {case['dim']} entries.",
        "masks": _table(("path", "lane", "threads", "rate", "middle half"), masks, numbers=3),
        "limits": ", ".join(f"{row.case['of']} {_rate(row)}" for row in results.all("limit")),
        "lengths": _table(("entries", "masks a pass", "threads", "rate", "middle half"), lengths, numbers=0),
        "encodings": _table(("float32 updates, 20 bits", "of input", "middle half"), encodings, numbers=1),
        "primitives": _table(("secrets and keys", "time", "middle half"), primitives, numbers=1),
    }


def _agreement(row: Row) -> str:
    """Older results say who did it, not how."""
    how = ", ".join(f"{name} {row.case[name]}" for name in ("path", "threads") if name in row.case)
    return f"X25519 + HKDF, {row.case['pairs']} pairs, {row.case['by']}" + (f" ({how})" if how else "")


def _phases(results: Results) -> list[tuple[str, str]]:
    rows = results.all("phase")
    head = ("phase", "role", "time", "middle half", "bytes")
    return [
        (
            title,
            _table(
                head,
                [
                    (str(row.case["phase"]), str(row.case["role"]), *_time_and_spread(row), _bytes(row))
                    for row in rows
                    if _title(row) == title
                ],
                numbers=2,
            ),
        )
        for title in dict.fromkeys(map(_title, rows))
    ]


def _growth(results: Results, axes: Sequence[Axis], figures: Curves) -> str:
    """Empty where none of the axes was measured."""
    rows = []
    for axis in axes:
        points = results.all(f"growth by {axis.name}")
        curves = [curve(results, axis, figure) for figure, _ in figures]
        cells = [f"{found.exponent:.2f} ({found.last:.2f})" for found in curves if found is not None]
        if len(cells) == len(figures):
            rows.append((axis.label, f"{points[0].case[axis.x]} .. {points[-1].case[axis.x]}", *cells))
    head = ("what grows", "from .. to", *(name for _, name in figures))
    return _table(head, rows, numbers=2) if rows else ""


def _dominant(results: Results) -> str:
    parts = results.all("part")
    rows: list[Sequence[str]] = []
    for title in dict.fromkeys(map(_title, parts)):
        for role in ROLES:
            rows += _dominant_rows(title, [p for p in parts if _title(p) == title and p.case["role"] == role])
    return _table(("round", "phase, role", "seconds", "largest parts", "what would remove the largest"), rows)


def _dominant_rows(title: str, parts: Sequence[Row]) -> list[Sequence[str]]:
    """One row a phase of one role."""
    rows: list[Sequence[str]] = []
    whole = sum(part.seconds for part in parts)
    for phase in PHASES:
        chosen = sorted((part for part in parts if part.case["phase"] == phase), key=lambda part: -part.seconds)
        total = sum(part.seconds for part in chosen)
        if not chosen or total < WORTH * whole:
            continue
        listed = ", ".join(f"{part.case['part']} {100 * part.seconds / total:.0f} %" for part in chosen[:3])
        where = f"{phase}, {chosen[0].case['role']}"
        rows.append((title, where, duration(total), listed, REMEDIES[str(chosen[0].case["part"])]))
    return rows


def _peers(results: Results) -> dict[str, str]:
    rows = []
    for role in ("client", "server"):
        for phase in PHASES:
            ours, theirs = (results.one("peer", by=by, role=role, phase=phase) for by in ("secagg", "Flower"))
            if ours is not None and theirs is not None:
                times = duration(ours.seconds), duration(theirs.seconds), f"{theirs.seconds / ours.seconds:.1f}x"
                rows.append((f"{phase}, {role}", *times, _bytes(ours), _bytes(theirs)))
    first, plain = results.all("peer")[0], results.one("peer", by="plain FedAvg")
    head = ("phase, role", "secagg", "Flower", "ratio", "secagg's bytes", "Flower's bytes")
    return {
        "version": results.machine.libraries.get("flwr", ""),
        "title": f"{_title(first)}, t = {first.case['threshold']}",
        "table": _table(head, rows, numbers=1),
        "plain": "" if plain is None else _plain(plain),
        "paillier": _optional(ciphertexts.PAILLIER_HEAD, ciphertexts.paillier_rows(results)),
        "ckks": _optional(ciphertexts.CKKS_HEAD, ciphertexts.ckks_rows(results)),
        "families": _optional(ciphertexts.FAMILIES_HEAD, ciphertexts.family_rows(results)),
    }


def _optional(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _table(head, rows) if rows else ""


def _plain(row: Row) -> str:
    survivors = int(row.case["clients"]) - int(row.case["lost"])
    return (
        f"Plain FedAvg, whose server reads every update, adds the same {survivors} updates "
        f"in {duration(row.seconds)}, at {_bytes(row)} bytes each."
    )


def _title(row: Row) -> str:
    return title_of(row.case)


def _bytes(row: Row) -> str:
    return f"{row.figures['bytes']:,.0f}" if "bytes" in row.figures else ""


def _rate(row: Row) -> str:
    return f"{row.rate / 1e9:.2f} GB/s"


def _rate_and_spread(row: Row) -> tuple[str, str]:
    size = row.figures["bytes"] / 1e9
    return _rate(row), f"{size / row.high:.2f} .. {size / row.low:.2f}"


def _time_and_spread(row: Row) -> tuple[str, str]:
    return duration(row.seconds), f"{duration(row.low)} .. {duration(row.high)}" if row.runs > 1 else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
    """A Markdown table; columns from number `numbers` on are aligned to the right."""
    rule = ["---" if numbers is None or place < numbers else "---:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))

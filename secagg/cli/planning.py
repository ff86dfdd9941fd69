"""`secagg plan`: degree and threshold of SecAgg+, what can go wrong, and what it costs on the wire."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from secagg.cli import screen
from secagg.cli.wanted import Wanted
from secagg_protocols.pairwise import sizes
from secagg_protocols.pairwise.demand import Demand
from secagg_protocols.pairwise.plan import Plan, plan
from secagg_protocols.pairwise.scheme import REDRAW_BITS, ROOM_BITS, planned

_WHY = {
    "passive": "here more than half of the neighbours must answer, so that no two halves open both secrets of a client",
    "active": f"here {REDRAW_BITS} bits more, since a server can redraw the graph by leaving advertisements out, "
    f"and a threshold with room for clients silent at the first phase, which takes up to {ROOM_BITS} bits of eta",
}


@dataclass(frozen=True)
class Answer:
    """What the command found. A log2 of -inf (null in JSON) means impossible.

    Attributes:
        met: whether both odds are as small as was asked for.
        corrupt: clients that tell the server all they know: the rate, rounded up to whole clients.
        lost: clients that go silent, likewise.
        plan: what `secagg+` uses: against a passive server the threshold is more than half of the neighbours.
        paper: the paper's own plan for these odds, with a smaller graph or threshold.
        dim: entries of one update, without weights.
        bits: of one quantized entry.
        ring_bits: of one entry on the wire, so that the sum of all clients stays exact.
        phases: bytes of a round without losses.
        client_bytes: that one client sends in it.
        server_bytes: that the server sends in it, to all clients together.
        complete_client_bytes: that one client would send in the complete graph (SecAgg).
    """

    met: bool
    corrupt: int
    lost: int
    plan: Plan
    paper: Plan
    dim: int
    bits: int
    ring_bits: int
    phases: tuple[sizes.PhaseBytes, ...]
    client_bytes: int
    server_bytes: int
    complete_client_bytes: int


def answer(wanted: Wanted) -> Answer:
    """Plan one cohort and price one round of it."""
    n, dim, bits = wanted.n, wanted.dim, wanted.bits
    asked = n, wanted.corrupt, wanted.dropout, wanted.sigma, wanted.eta, wanted.adversary
    paper, found = plan(*asked), planned(Demand(*asked))
    active = found.threshold if wanted.adversary == "active" else None
    phases = sizes.of_round(n, found.neighbours, dim, bits, active)
    return Answer(
        met=all(_met(found)),
        corrupt=wanted.colluding,
        lost=wanted.lost,
        plan=found,
        paper=paper,
        dim=dim,
        bits=bits,
        ring_bits=sizes.encoding_of(n, dim, bits).ring.bits,
        phases=phases,
        client_bytes=sum(phase.client for phase in phases),
        server_bytes=sum(phase.server for phase in phases),
        complete_client_bytes=sum(phase.client for phase in sizes.of_round(n, n - 1, dim, bits, active)),
    )


def _met(asked: Plan) -> tuple[bool, bool]:
    """Whether the odds of security, and those of correctness, are as small as was asked for (less the room)."""
    return asked.log2_insecure <= -asked.sigma, asked.log2_incorrect <= _room(asked) - asked.eta


def _room(asked: Plan) -> int:
    """Bits of eta that the active threshold gives up for clients silent at "keys"."""
    return ROOM_BITS if asked.adversary == "active" and not asked.complete else 0


def show(found: Answer, *, as_json: bool) -> None:
    """Print the answer, for a person or for a machine."""
    if as_json:
        screen.print_json(msgspec.json.encode(found))
        return
    out = screen.console()
    for line in _facts(found):
        out.print(line)
    for sentence in _sentences(found):
        screen.show_sentence(out, sentence)
    costs = screen.table(
        out,
        f"Bytes of one round: {found.dim:,} entries of {found.bits} bits, nobody lost",
        "phase",
        "a client sends",
        "the server sends",
    )
    for phase in found.phases:
        costs.add_row(phase.phase, f"{phase.client:,}", f"{phase.server:,}")
    costs.add_section()
    costs.add_row("all phases", f"{found.client_bytes:,}", f"{found.server_bytes:,}")
    out.print()
    screen.show_table(out, costs)


def _facts(found: Answer) -> Iterator[str]:
    asked = found.plan
    secure, correct = _met(asked)
    yield (
        f"{asked.n:,} clients, {100 * asked.corrupt:.3g} % of them corrupt and {100 * asked.dropout:.3g} % lost "
        f"({found.corrupt:,} corrupt, {found.lost:,} lost), server {asked.adversary}"
    )
    if asked.complete:
        yield "No smaller graph meets these odds: the complete graph (secagg), whose threshold asks for no odds."
    yield f"neighbours  k = {asked.neighbours:,}"
    yield f"threshold   t = {asked.threshold:,}"
    yield f"insecure    {_odds(asked.log2_insecure)} (asked for 2^-{asked.sigma}{_verdict(secure)})"
    yield f"incorrect   {_odds(asked.log2_incorrect)} (asked for 2^-{asked.eta}{_verdict(correct)})"
    yield f"ring        {found.ring_bits} bits an entry, so that {asked.n:,} entries add up exactly"
    if not asked.complete:
        here, there = found.client_bytes, found.complete_client_bytes
        yield f"bytes       {here:,} from each client; {there:,} in the complete graph (secagg)"


def _sentences(found: Answer) -> Iterator[str]:
    asked = found.plan
    if not found.met:
        yield (
            "NOT MET: a round may fail more often than was asked for. "
            "Take more clients, or ask for less with --corrupt, --dropout, --sigma or --eta."
        )
    if (found.paper.neighbours, found.paper.threshold) != (asked.neighbours, asked.threshold):
        yield (
            f"Bell et al. 2020 ask for k = {found.paper.neighbours:,}, t = {found.paper.threshold:,}; "
            f"{_WHY[asked.adversary]}."
        )


def _verdict(met: bool) -> str:
    return "" if met else ": NOT MET"


def _odds(log2: float) -> str:
    return "impossible with so few corrupt and lost" if log2 == -math.inf else f"odds of at most 2^{log2:.1f}"

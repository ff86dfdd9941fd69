"""What the page's and the terminal's tables hold: a run's records, summed up."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from secagg.fedavg.formats import counted
from secagg.fedavg.history import SECURE, ComparisonRow, Metrics, RoundRecord, Run
from secagg.fedavg.losses import Claim, Loss, Record, claims, losses

State = Literal["summed", "late", "lost", "void", "idle"]
"""One hospital in one round: in the sum; silent but in the sum; silent and not in it; asked in a round
without a sum; not asked."""


@dataclass(frozen=True)
class Amount:
    """Bytes sent on the wire and seconds of computing."""

    bytes: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What one phase, one round or several cost.

    Attributes:
        phase: the phase's name, or what was added up.
        roles: {role: amount}: of one client (the median one), or of the whole server.
    """

    phase: str
    roles: dict[str, Amount]


@dataclass(frozen=True)
class Exactness:
    """How far the secure means were from the plain ones, over the rounds that have a sum.

    Attributes:
        rounds: how many were compared.
        gap: the largest gap of all rounds; None where no round has a sum.
        bound: the largest bound of all rounds; None likewise.
    """

    rounds: int
    gap: float | None
    bound: float | None


def row_of(run: Run, model: str) -> ComparisonRow:
    """The comparison's row of one of the four models."""
    return next(row for row in run.comparison if row.model == model)


def overall(run: Run, model: str) -> Metrics:
    """One of the four models on all held-out patients together."""
    return row_of(run, model).overall


def secure(run: Run) -> Metrics:
    """The final secure model on all held-out patients together."""
    return overall(run, SECURE)


def records(run: Run) -> tuple[Record, ...]:
    """Every secure sum of the run, in order: the standardisation's, then the rounds."""
    return (*run.statistics, *run.rounds)


def all_losses(run: Run) -> list[Loss]:
    """Every loss of the run, in order."""
    return [loss for record in records(run) for loss in losses(record)]


def losses_in_standardisation(run: Run) -> list[Loss]:
    """The losses of the sums before training, in order."""
    return [loss for record in run.statistics for loss in losses(record)]


def losses_in_training(run: Run) -> list[Loss]:
    """The losses of the rounds of training, in order."""
    return [loss for record in run.rounds for loss in losses(record)]


def clipped(run: Run) -> int:
    """Entries of updates that the quantizers clipped, over all rounds of training."""
    return sum(record.sum.saturated for record in run.rounds)


def all_claims(run: Run) -> list[Claim]:
    """What was said of hospitals in the run, in order."""
    return [claim for record in records(run) for claim in claims(record)]


def void_rounds(run: Run) -> list[RoundRecord]:
    """The rounds that ended without a sum."""
    return [record for record in run.rounds if record.sum.too_few is not None]


def exactness(run: Run) -> Exactness:
    """The largest gap and bound of the run."""
    pairs = [(r.gap, r.bound) for r in run.rounds if r.gap is not None and r.bound is not None]
    return Exactness(
        rounds=len(pairs),
        gap=max((gap for gap, _ in pairs), default=None),
        bound=max((bound for _, bound in pairs), default=None),
    )


def roles_of(chosen: Sequence[Record]) -> tuple[str, ...]:
    """The ends of these sums, the client first, others ("server") in order of appearance."""
    found = dict.fromkeys(flow.role for record in chosen for flow in record.sum.traffic)
    return tuple(sorted(found, key=lambda role: role != "client"))


def typical_costs(run: Run) -> list[Cost]:
    """The median over the rounds of training that have a sum, phase by phase."""
    roles = roles_of(run.rounds)
    return [Cost(phase, {role: _typical(run.rounds, phase, role) for role in roles}) for phase in run.phases]


def sums_of_costs(run: Run, costs: Sequence[Cost]) -> list[Cost]:
    """The table's foot: all phases of a typical round, all rounds, and all sums of the standardisation."""
    roles = roles_of(run.rounds)
    return [
        Cost("all phases", {role: _added(cost.roles[role] for cost in costs) for role in roles}),
        _spent(f"all {counted(len(run.rounds), 'round')}", run.rounds, roles),
        _spent(f"standardisation ({counted(len(run.statistics), 'sum')})", run.statistics, roles),
    ]


def _spent(name: str, chosen: Sequence[Record], roles: Sequence[str]) -> Cost:
    flows = [flow for record in chosen for flow in record.sum.traffic]
    return Cost(name, {role: _added(Amount(f.bytes, f.seconds) for f in flows if f.role == role) for role in roles})


def _typical(chosen: Sequence[Record], phase: str, role: str) -> Amount:
    flows = [f for record in chosen for f in record.sum.traffic if (f.phase, f.role) == (phase, role)]
    if not flows:
        return Amount(0, 0)
    return Amount(median(f.bytes for f in flows), median(f.seconds for f in flows))


def _added(amounts: Iterable[Amount]) -> Amount:
    total = Amount(0, 0)
    for amount in amounts:
        total = Amount(total.bytes + amount.bytes, total.seconds + amount.seconds)
    return total


@dataclass(frozen=True)
class Departures:
    """Who left one secure sum.

    Attributes:
        record: the sum.
        before: those whose update is not in it, or who were lost to a sum that was given up.
        after: those whose update is in it.
    """

    record: Record
    before: tuple[Loss, ...]
    after: tuple[Loss, ...]


def departures(run: Run) -> Iterator[Departures]:
    """The sums that somebody left or that were given up, in order."""
    for record in records(run):
        left = list(losses(record))
        if left or record.sum.too_few is not None:
            after = tuple(loss for loss in left if loss.outcome == "in the sum")
            yield Departures(record, tuple(loss for loss in left if loss not in after), after)


@dataclass(frozen=True)
class Attendance:
    """One hospital's place in every round.

    Attributes:
        hospital: its name.
        states: one for each round.
        notes: the same in words, one for each round.
    """

    hospital: str
    states: tuple[State, ...]
    notes: tuple[str, ...]


def attendance(run: Run) -> Iterator[Attendance]:
    """Every hospital in every round."""
    for site in run.sites:
        pairs = [(_state(record, site.name), _note(record, site.name)) for record in run.rounds]
        yield Attendance(site.name, tuple(state for state, _ in pairs), tuple(note for _, note in pairs))


def _state(record: RoundRecord, hospital: str) -> State:
    gone = hospital in record.sum.lost or hospital in record.sum.misbehaved
    if hospital in record.sum.contributors:
        return "late" if gone else "summed"
    if gone:
        return "lost"
    return "void" if hospital in record.sum.sampled else "idle"


def _note(record: RoundRecord, hospital: str) -> str:
    for loss in losses(record):
        if loss.hospital == hospital:
            return str(loss)
    words = {"summed": "in the sum", "void": "answered, but the round has no sum", "idle": "not asked"}
    return f"round {record.number}: {hospital} {words[_state(record, hospital)]}"

"""What `secagg fedavg` says at the end."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from secagg.cli import screen
from secagg.fedavg import tables
from secagg.fedavg.formats import bytes_text, counted, decimals, percent, printable, seconds_text
from secagg.fedavg.history import SECURE, Metrics, Run
from secagg.fedavg.trust import at_hospitals
from secagg.scheme.facts import Limits

_LIMITS = (
    "limits: a server that follows the protocol learns only sums; {}. The standardisation also shows histograms of "
    "powers of two. Not independently audited."
)


def show(run: Run, limits: Limits, out: Console) -> None:
    """Print the closing tables and sentences; `limits` are the protocol's."""
    out.print()
    for table in (_models(run, out), _hospitals(run, out), _costs(run, out)):
        screen.show_table(out, table)
    for sentence in _sentences(run):
        out.print(sentence)
    screen.show_sentence(out, _LIMITS.format(at_hospitals(limits).in_short))


def _models(run: Run, out: Console) -> Table:
    patients = counted(tables.secure(run).patients, "held-out patient")
    table = screen.table(out, f"Four models on the same {patients}", "model", "accuracy, %", "AUC", "log loss")
    for row in run.comparison:
        mean = f" (mean of {len(row.hospitals)})" if row.alone else ""
        style = "bold" if row.model == SECURE else None
        table.add_row(f"{row.model}{mean}", *_figures(row.overall), style=style)
    return table


def _hospitals(run: Run, out: Console) -> Table:
    names = ("held out", "alone", "central", "plain", "secure", "AUC", "log loss")
    table = screen.table(
        out,
        "Hospital by hospital: accuracy in %; AUC and log loss of secure FedAvg",
        "hospital",
        *names,
    )
    for site in run.sites:
        row = [metrics.hospitals[site.name] for metrics in run.comparison]
        secure = tables.row_of(run, SECURE).hospitals[site.name]
        accuracies = [percent(metrics.accuracy) for metrics in row]
        table.add_row(printable(site.name), str(site.test), *accuracies, *_figures(secure)[1:])
    return table


def _figures(metrics: Metrics) -> tuple[str, str, str]:
    return percent(metrics.accuracy), decimals(metrics.auc, 3), decimals(metrics.log_loss, 3)


def _costs(run: Run, out: Console) -> Table:
    roles = tables.roles_of(run.rounds)
    ends = {"client": "hospital"}
    columns = [f"{ends.get(role, role)} {does}" for role in roles for does in ("sends", "computes")]
    table = screen.table(out, "A typical round", "phase", *columns)
    costs = tables.typical_costs(run)
    for cost in costs:
        table.add_row(cost.phase, *_amounts(cost, roles))
    table.add_section()
    for cost in tables.sums_of_costs(run, costs):
        table.add_row(cost.phase, *_amounts(cost, roles))
    return table


def _amounts(cost: tables.Cost, roles: tuple[str, ...]) -> Iterator[str]:
    for role in roles:
        yield bytes_text(cost.roles[role].bytes)
        yield seconds_text(cost.roles[role].seconds)


def _sentences(run: Run) -> Iterator[str]:
    lost, before, void = tables.losses_in_training(run), tables.losses_in_standardisation(run), tables.void_rounds(run)
    late = sum(loss.outcome == "in the sum" for loss in lost)
    yield (
        f"lost:   {counted(len(lost), 'time')} a hospital left a round of training, {late} of them with its update "
        f"already in the sum; {counted(len(before), 'time')} a sum of the standardisation"
    )
    said = tables.all_claims(run)
    if said:
        yield f"claims: {counted(len(said), 'time')} hospitals said of one that stayed that it did wrong, true or not"
    yield f"rounds: {len(run.rounds) - len(void)} of {len(run.rounds)} with a sum, {len(void)} skipped"
    exact = tables.exactness(run)
    if exact.gap is not None and exact.bound is not None:
        yield (
            f"exact:  yes, up to rounding to {run.settings.bits} bits: secure and plain mean of a round differ by at "
            f"most {exact.gap:.1e} in any parameter (bound {exact.bound:.1e})"
        )
    if tables.clipped(run):
        yield f"clipped: {counted(tables.clipped(run), 'entry', 'entries')}, larger than --clip {run.settings.clip:g}"
    yield f"time:   {seconds_text(run.seconds)}"

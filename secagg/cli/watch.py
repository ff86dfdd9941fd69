"""What a person sees while `secagg fedavg` runs: a bar that moves in a terminal, one line a round in a pipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from secagg.cli import screen
from secagg.fedavg.formats import counted, decimals, percent, printable
from secagg.fedavg.history import Event, RoundRecord, Stage, Started
from secagg.fedavg.losses import Record, claims, losses, name_of

Listener = Callable[[Event], None]


def silent(_: Event) -> None:
    """What a machine sees."""


class Lines:
    """One line for every stage and every round; the standardisation's only where something happened.

    Args:
        out: where to.
    """

    def __init__(self, out: Console) -> None:
        self._out = out
        self._rounds = 0

    def __call__(self, event: Event) -> None:
        """Print what `event` tells."""
        match event:
            case Stage():
                self._out.print(printable(event.text))
            case Started():
                self._rounds = event.settings.rounds
                self._out.print(cohort(event))
            case RoundRecord():
                self._out.print(told(event, self._rounds))
            case _:
                for line in troubles(event):
                    self._out.print(line)


class Bar:
    """A bar with round, log loss, accuracy and losses; above it stay the lines that a pipe gets.

    Args:
        progress: made by `moving`.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("preparing", total=None, figures="")
        self._lost = self._rounds = 0

    def __call__(self, event: Event) -> None:
        """Move the bar, and print above it what `event` tells."""
        match event:
            case Stage():
                self._progress.update(self._task, description=event.name)
                self._tell(event.text, "dim")
            case Started():
                self._rounds = event.settings.rounds
                self._progress.update(self._task, total=self._rounds)
                self._tell(cohort(event), "")
            case RoundRecord():
                self._round(event)
            case _:
                for line in troubles(event):
                    self._tell(line, _style(event))

    def _round(self, record: RoundRecord) -> None:
        self._lost += sum(1 for _ in losses(record))
        self._tell(told(record, self._rounds), _style(record))
        figures = (
            f"round {record.number}  log loss {decimals(record.secure.log_loss, 4)}  "
            f"accuracy {percent(record.secure.accuracy)} %  lost {self._lost}"
        )
        self._progress.update(self._task, advance=1, figures=figures)

    def _tell(self, text: str, style: str) -> None:
        self._progress.console.print(Text(printable(text), style))


def _style(record: Record) -> str:
    if record.sum.too_few is not None:
        return "red"
    return "yellow" if any(troubles(record)) else ""


def told(record: RoundRecord, rounds: int) -> str:
    """One round of `rounds` in one line: how good the model is, how many are in the sum, and who left it."""
    left = "; ".join([*(loss.brief for loss in losses(record)), *(claim.brief for claim in claims(record))])
    parts = (
        f"round {record.number:>{len(str(rounds))}}/{rounds}",
        f"log loss {decimals(record.secure.log_loss, 4)}",
        f"accuracy {percent(record.secure.accuracy)} %",
        f"sum of {len(record.sum.contributors)} of {len(record.sum.sampled)}"
        if record.sum.too_few is None
        else f"skipped: {record.sum.too_few}",
        left,
    )
    return " | ".join(part for part in parts if part)


def troubles(record: Record) -> Iterator[str]:
    """In plain words: who left this sum, what is claimed of whom, and why there is no sum."""
    yield from map(str, losses(record))
    yield from map(str, claims(record))
    if record.sum.too_few is not None:
        yield printable(f"{name_of(record)}: skipped, {record.sum.too_few}")


def cohort(started: Started) -> str:
    """Who takes part, in one line."""
    train, test = (sum(getattr(site, part) for site in started.sites) for part in ("train", "test"))
    return printable(
        f"{counted(len(started.sites), 'hospital')}, {counted(train, 'training patient')} and {test:,} held out, "
        f"{counted(len(started.features), 'feature')}; protocol {started.protocol}"
    )


@contextmanager
def watching(out: Console) -> Iterator[Listener]:
    """The view that suits `out`: a bar where it can move, lines elsewhere."""
    if not out.is_terminal or out.is_dumb_terminal:
        yield Lines(out)
        return
    with Progress(*_columns(screen.narrow(out)), console=out, transient=True) as progress:
        yield Bar(progress)


def _columns(narrow: bool) -> tuple[ProgressColumn, ...]:
    """What stands in the line that moves; sixty columns hold the figures and a short bar."""
    figures = TextColumn("{task.fields[figures]}")
    if narrow:
        return BarColumn(6), figures
    return TextColumn("{task.description:<10}"), BarColumn(24), figures, TimeElapsedColumn()

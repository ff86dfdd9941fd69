"""`secagg fedavg`: the experiment, watched, and what is said about it at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from secagg.cli import screen, summary
from secagg.cli.watch import Listener, silent, watching
from secagg.errors import ConfigError
from secagg.fedavg.experiment import run_experiment
from secagg.fedavg.history import Run
from secagg.fedavg.report import make_folder, write_report
from secagg.fedavg.settings import Settings
from secagg.scheme import Scheme
from secagg_protocols import PROTOCOLS


@dataclass(frozen=True)
class Protocol:
    """A scheme by name.

    Attributes:
        name: "secagg" or "secagg+".
        neighbours: of a client in secagg+; None is planned.
        threshold: shares that open a secret; None is derived.
    """

    name: str
    neighbours: int | None
    threshold: int | None

    def scheme(self, dropout: float, n: int) -> Scheme:
        """The scheme for n clients, of which a share of `dropout` may be lost.

        Raises:
            OutOfRange, ConfigError: naming the option.
        """
        options: dict[str, Any] = {"threshold": self.threshold}
        if self.name == "secagg+":
            options |= {"dropout": dropout} if self.neighbours is None else {"neighbours": self.neighbours}
        elif self.neighbours is not None:
            raise ConfigError("neighbours: secagg is the complete graph and takes none, expected protocol secagg+")
        return PROTOCOLS[self.name](n, **options)


def fedavg(options: Mapping[str, Any], protocol: Protocol, report: Path | None, *, as_json: bool) -> None:
    """Run the experiment that `options` (fields of `Settings`) describe, show it and write its report.

    Raises:
        ConfigError, InputError: an option or the patients cannot work; names which.
        TooFew: the standardisation failed, again and again.
    """
    settings = Settings(**options)
    if report is not None:
        make_folder(report)  # before the training, not after it
    if as_json:
        run = _run(settings, protocol, silent)
        screen.print_json(msgspec.json.encode(run))
    else:
        out = screen.console()
        with watching(out) as listener:
            run = _run(settings, protocol, listener)
        summary.show(run, out)
    if report is not None:
        page = write_report(run, report)
        if not as_json:
            screen.console().print(f"report: {page}")


def _run(settings: Settings, protocol: Protocol, listener: Listener) -> Run:
    return run_experiment(settings, lambda n: protocol.scheme(settings.dropout, n), listener)

"""`secagg fedavg`: the experiment, watched, and what is said about it at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from secagg.api import aggregate
from secagg.cli import screen, summary
from secagg.cli.watch import Listener, silent, watching
from secagg.errors import ConfigError
from secagg.fedavg import statistics
from secagg.fedavg.experiment import run_experiment
from secagg.fedavg.history import Run, Stage
from secagg.fedavg.report import make_folder, write_report
from secagg.fedavg.settings import Settings
from secagg.scheme import Scheme
from secagg_protocols import PROTOCOLS, PairwiseMasking


@dataclass(frozen=True)
class Protocol:
    """A scheme by name.

    Attributes:
        name: one of `PROTOCOLS`.
        options: {option of the command: its value}; None leaves the choice to the protocol.
    """

    name: str
    options: Mapping[str, Any]

    def scheme(self, n: int, dropout: float) -> Scheme:
        """The scheme for n clients, of which a share of `dropout` may be lost: told to protocols that ask for it.

        Raises:
            OutOfRange, ConfigError: naming the option.
        """
        chosen = {option: value for option, value in self.options.items() if value is not None}
        for option, value in chosen.items():
            if not _takes(self.name, option):
                takers = ", ".join(name for name in PROTOCOLS if _takes(name, option))
                raise ConfigError(f"{option} is {value!r}: protocol {self.name} takes none, expected one of {takers}")
        told = {"dropout": dropout} if _takes(self.name, "dropout") else {}
        return PROTOCOLS[self.name](n, **told, **chosen)


def _takes(protocol: str, option: str) -> bool:
    return option in signature(PROTOCOLS[protocol]).parameters


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


def compile_kernels(settings: Settings, scheme: Scheme) -> None:
    """Run one tiny secure sum of each kind that the experiment has: of rounds, of means and of counts.

    Kernels compile when they are first called; without this the first run would count that as protection's cost.
    """
    clients = range(4)
    lost = {3: next(phase.name for phase in scheme.phases if phase.takes_input)}
    floats = {client: {"w": np.zeros(3)} for client in clients}
    counts = {client: np.zeros(3, np.uint8) for client in clients}
    weights = dict.fromkeys(clients, 1)
    for bits, clip in ((settings.bits, settings.clip), (statistics.BITS, {"w": np.ones(3)})):
        options: dict[str, Any] = {"bits": bits, "clip": clip, "weight_max": settings.weight_max}
        aggregate(floats, scheme, weights=weights, lost=lost, **options)
    aggregate(counts, scheme, bits=1, lost=lost)


def _run(settings: Settings, protocol: Protocol, listener: Listener) -> Run:
    listener(Stage("kernels", "compiling kernels (once)"))
    masking = protocol.name in ("secagg", "secagg+")  # whose options may not fit four clients
    compile_kernels(settings, PairwiseMasking() if masking else protocol.scheme(4, settings.dropout))
    return run_experiment(settings, lambda n: protocol.scheme(n, settings.dropout), listener)

"""`secagg fedavg`: the experiment, watched, and what is said about it at the end."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from secagg.api import aggregate
from secagg.cli import screen, summary
from secagg.cli.protocol import Protocol
from secagg.cli.watch import Listener, silent, watching
from secagg.fedavg import statistics
from secagg.fedavg.experiment import run_experiment
from secagg.fedavg.history import Run, Stage
from secagg.fedavg.report import make_folder, write_report
from secagg.fedavg.settings import Settings


def fedavg(settings: Settings, protocol: Protocol, report: Path | None, *, as_json: bool) -> None:
    """Run the experiment that the settings describe, show it and write its report.

    Raises:
        ConfigError, InputError: an option or the patients cannot work; names which.
        TooFew: the standardisation failed, again and again.
    """
    if report is not None:
        make_folder(report)  # before the training, not after it
    if as_json:
        run = _run(settings, protocol, silent)
        screen.print_json(msgspec.json.encode(run))
    else:
        out = screen.console()
        with watching(out) as listener:
            run = _run(settings, protocol, listener)
        summary.show(run, protocol.facts.limits, out)
        note = protocol.note(len(run.sites))
        if note is not None:
            screen.show_sentence(out, f"note: {note}")
    if report is not None:
        page = write_report(run, protocol.facts.limits, report)
        if not as_json:
            screen.console().print(f"report: {page}")


def compile_kernels(settings: Settings, protocol: Protocol) -> None:
    """Run one tiny secure sum of each kind that the experiment has: of rounds, of means and of counts.

    Kernels compile when they are first called; without this the first run would count that as protection's cost.
    """
    scheme, count = protocol.small()
    clients = range(count)
    lost = {clients[-1]: next(phase.name for phase in scheme.phases if phase.takes_input)}
    floats = {client: {"w": np.zeros(3)} for client in clients}
    counts = {client: np.zeros(3, np.uint8) for client in clients}
    least, most = settings.weights
    weights = dict.fromkeys(clients, least)
    for bits, clip in ((settings.bits, settings.clip), (statistics.BITS, {"w": np.ones(3)})):
        options: dict[str, Any] = {"bits": bits, "clip": clip, "weight_max": most, "weight_min": least}
        aggregate(floats, scheme, weights=weights, lost=lost, **options)
    aggregate(counts, scheme, bits=1, lost=lost)


def _run(settings: Settings, protocol: Protocol, listener: Listener) -> Run:
    listener(Stage("kernels", "compiling kernels (once)"))
    compile_kernels(settings, protocol)
    return run_experiment(settings, lambda n: protocol.scheme(n, settings.dropout), listener)

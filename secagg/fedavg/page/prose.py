"""The page's sentences: what a run found, in words for a hospital's board."""

from collections import Counter
from collections.abc import Iterator

from secagg.fedavg import tables
from secagg.fedavg.formats import DASH, counted, percent, power
from secagg.fedavg.history import ALONE, CENTRALIZED, PLAIN, Run
from secagg.fedavg.settings import Settings

_NAMED = 3  # hospitals named in the headline at most

_SPREADS = {
    "iid": "at random",
    "dirichlet": "with skewed outcomes (Dirichlet, alpha {alpha:g})",
    "uneven": "at random, in uneven numbers",
    "site": "by the column {site!r}",
}


def title(run: Run) -> str:
    """The page's heading."""
    return f"{counted(len(run.sites), 'hospital')} trained one model without sharing a patient record"


def headline(run: Run) -> list[str]:
    """Two short paragraphs: what the model is worth, and what happened on the way."""
    return [" ".join(_worth(run)), " ".join(_way(run))]


def _worth(run: Run) -> Iterator[str]:
    final = tables.secure(run)
    train = sum(site.train for site in run.sites)
    yield (
        f"The records of {counted(train, 'training patient')} stayed where they are; the server saw only sums of "
        f"the hospitals\u2019 updates. The shared model is right for {percent(final.accuracy)} % of "
        f"{counted(final.patients, 'held-out patient')}."
    )
    yield (
        f"That is {_against(run, PLAIN)} the same training without protection and {_against(run, CENTRALIZED)} "
        f"one model trained on all patients in one place."
    )
    yield f"A hospital alone is right for {percent(tables.overall(run, ALONE).accuracy)} % on average."


def _against(run: Run, model: str) -> str:
    points = 100 * (tables.secure(run).accuracy - tables.overall(run, model).accuracy)
    if abs(points) < 0.05:
        return "as good as"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'}"


def _way(run: Run) -> Iterator[str]:
    lost, void = tables.losses_in_training(run), tables.void_rounds(run)
    before = tables.losses_in_standardisation(run)
    yield _departures([loss.hospital for loss in lost])
    late = sum(loss.outcome == "in the sum" for loss in lost)
    if late:
        yield f"In {late} of these cases the update was already given and is in the sum."
    if void:
        were = "was" if len(void) == 1 else "were"
        whole = counted(len(run.rounds), "round")
        yield f"{len(void)} of {whole} ended without a sum, because too few stayed, and {were} skipped."
    if before:
        yield f"Before training, in the sums of the standardisation, hospitals fell silent {_times(len(before))}."
    yield exactly(run)


def _departures(names: list[str]) -> str:
    if not names:
        return "No hospital was lost in training."
    often = Counter(names).most_common(_NAMED)
    named = ", ".join(f"{name} {_times(count)}" for name, count in often)
    rest = len(set(names)) - len(often)
    others = f", and {counted(rest, 'other')}" if rest else ""
    return f"Hospitals fell silent {_times(len(names))} in training ({named}{others})."


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def exact_answer(run: Run) -> str:
    """Whether the secure means were the plain ones, with the figures that say so."""
    if not tables.exactness(run).rounds:
        return exactly(run)
    return f"Yes, up to the rounding of each parameter to {run.settings.bits} bits. {exactly(run)}"


def exactly(run: Run) -> str:
    """How secure and plain means compare, over all rounds."""
    exact = tables.exactness(run)
    if not exact.rounds:
        return "No round has a sum, so there is nothing to compare."
    every = "In the one round" if exact.rounds == 1 else f"In each of the {exact.rounds} rounds"
    return (
        f"{every} that ended with a sum, the secure mean was compared with the plain mean of the same updates, "
        f"parameter by parameter: the largest difference is {power(exact.gap)}, where quantization alone allows "
        f"{power(exact.bound)}."
    )


def patients(run: Run) -> str:
    """Where the patients come from and how they were spread."""
    settings = run.settings
    spread = _SPREADS[settings.spread].format(alpha=settings.alpha, site=settings.site)
    negative, positive = run.classes
    constant = f" Without variance, and so left at zero: {', '.join(run.constant)}." if run.constant else ""
    return (
        f"Source: {settings.data}. Patients were spread over the hospitals {spread}; "
        f"{counted(len(run.features), 'feature')} went in. "
        f"The model gives the probability of “{positive}”, against “{negative}”. Each hospital prepared its own "
        f"rows; missing values were filled with the federated mean.{constant}"
    )


def choices(run: Run) -> list[tuple[str, str]]:
    """Every setting that had a say in this run, with its value."""
    protocol = {"protocol": run.protocol, "phases": ", ".join(run.phases)}
    numbers = {"clipped parameters": str(tables.clipped(run)), "seed": str(run.settings.seed)}
    told = protocol | _of_patients(run.settings) | _of_learning(run.settings) | _of_sums(run.settings) | numbers
    return [(name, value) for name, value in told.items() if value != DASH]


def _of_patients(settings: Settings) -> dict[str, str]:
    return {
        "patients": settings.data,
        "outcome column": settings.target or DASH,
        "hospital column": settings.site or DASH,
        "partition": settings.spread,
        "Dirichlet alpha": f"{settings.alpha:g}" if settings.spread == "dirichlet" else DASH,
        "held out": f"{percent(settings.test_fraction, 0)} %",
    }


def _of_learning(settings: Settings) -> dict[str, str]:
    return {
        "model": settings.model,
        "hidden units": str(settings.hidden) if settings.model == "mlp" else DASH,
        "rounds": str(settings.rounds),
        "hospitals sampled per round": f"{percent(settings.fraction, 0)} %",
        "dropout probability": f"{percent(settings.dropout, 0)} %",
        "local epochs": str(settings.epochs),
        "batch size": str(settings.batch_size),
        "learning rate": f"{settings.learning_rate:g}",
        "L2 penalty": f"{settings.l2:g}",
    }


def _of_sums(settings: Settings) -> dict[str, str]:
    return {
        "bits per parameter": str(settings.bits),
        "clip of one parameter": f"{settings.clip:g}",
        "training patients allowed": "{} to {}".format(*settings.weights),
    }

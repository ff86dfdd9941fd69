"""FedAvg (McMahan et al. 2017, Algorithm 1) over a secure sum, and plain FedAvg beside it.

Updates travel, not weights: the difference between a hospital's parameters after local training and the
round's starting parameters, clipped. Weights are the hospitals' training patients, which the sum hides.
Plain FedAvg follows its own trajectory with the same seeds, batches and contributors. In every round the
secure mean is checked, entry by entry, against the plain mean of the very same clipped updates.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from secagg.api import Aggregate
from secagg.errors import BadCohort, NotFinite, SecaggError, TooFew
from secagg.fedavg.history import Metrics, RoundRecord, SumRecord
from secagg.fedavg.models import Model, Params, require_finite
from secagg.fedavg.preparation import Cohort, Patients
from secagg.fedavg.secure import SchemeSource, Sums, check_counts, ignore
from secagg.fedavg.seeds import Purpose, stream
from secagg.fedavg.settings import MIN_COHORT, Training
from secagg.primitives.entropy import Entropy


@dataclass(frozen=True)
class Trained:
    """What the loop leaves.

    Attributes:
        secure: final parameters of secure FedAvg.
        plain: final parameters of plain FedAvg.
        rounds: one record for each round.
    """

    secure: Params
    plain: Params
    rounds: tuple[RoundRecord, ...]


def cohort_size(clients: int, fraction: float) -> int:
    """Hospitals sampled per round: `fraction` of them, rounded, never fewer than three (or than all)."""
    return min(clients, max(MIN_COHORT, math.floor(clients * fraction + 0.5)))


def train(
    model: Model,
    cohort: Cohort,
    scheme: SchemeSource,
    options: Training,
    *,
    on_round: Callable[[RoundRecord], None] = ignore,
    entropy: Entropy = os.urandom,
) -> Trained:
    """Train `options.rounds` rounds.

    Args:
        model: anything with `init`, `fit`, `evaluate`.
        cohort: three hospitals or more, and the patients to judge both models on after each round.
        scheme: of the secure sum, or a function from the number of parties to one.
        options: rounds, sampling, local training, dropout, quantizer and seed.
        on_round: told of every round as it ends.
        entropy: of the cryptography.

    Returns:
        Both models and the records. A round that ends in TooFew leaves both models as they were.

    Raises:
        BadCohort: fewer than three hospitals.
        BadWeight: a hospital has more or fewer patients than `options.weights`.
        NotFinite: training diverged; names round, hospital and parameter.
        SecaggError: a secure mean lies outside its bound around the plain mean.
    """
    if len(cohort.hospitals) < MIN_COHORT:
        raise BadCohort(f"{len(cohort.hospitals)} hospitals, expected at least {MIN_COHORT}")
    check_counts(cohort.counts, options.weights)
    sums = Sums(scheme, options.weights, options.dropout, entropy)
    start = model.init(cohort.held_out.x.shape[1], stream(options.seed, Purpose.INIT))
    loop = _Loop(model, cohort, sums, options, secure=start, plain=start)
    rounds: list[RoundRecord] = []
    for number in range(1, options.rounds + 1):
        rounds.append(loop.round(number))
        on_round(rounds[-1])
    return Trained(loop.secure, loop.plain, tuple(rounds))


class _Step(NamedTuple):
    """The secure sum of one round, and how it compares."""

    sum: SumRecord
    gap: float | None = None
    bound: float | None = None
    typical: float | None = None


@dataclass
class _Loop:
    """Both models between rounds."""

    model: Model
    cohort: Cohort
    sums: Sums
    options: Training
    secure: Params = field(repr=False)
    plain: Params = field(repr=False)

    def round(self, number: int) -> RoundRecord:
        start = time.perf_counter()
        fitted = {name: self._fit(name, self.secure, number) for name in self._sample(number)}
        step = self._step(fitted, number)
        return RoundRecord(
            number=number,
            sum=step.sum,
            secure=self._judge(self.secure, self.cohort.held_out, number),
            plain=self._judge(self.plain, self.cohort.held_out, number),
            local_loss=self._local_loss(fitted, number),
            gap=step.gap,
            bound=step.bound,
            seconds=time.perf_counter() - start,
            typical=step.typical,
        )

    def _sample(self, number: int) -> tuple[str, ...]:
        """The round's hospitals, in their standing order."""
        names = tuple(self.cohort.hospitals)
        size = cohort_size(len(names), self.options.fraction)
        chosen = stream(self.options.seed, Purpose.SAMPLING, number).choice(len(names), size, replace=False)
        return tuple(names[index] for index in sorted(chosen.tolist()))

    def _fit(self, name: str, params: Params, number: int) -> Params:
        """Local training; the same batches whichever model it starts from."""
        patients, options = self.cohort.hospitals[name], self.options
        index = tuple(self.cohort.hospitals).index(name)
        with diverging_at(f"round {number}", name):
            fitted = self.model.fit(
                params,
                patients.x,
                patients.y,
                options.sgd,
                stream(options.seed, Purpose.BATCHES, number, index),
            )
            require_finite(fitted)
        return fitted

    def _judge(self, params: Params, patients: Patients, number: int, name: str | None = None) -> Metrics:
        with diverging_at(f"round {number}", name):
            return self.model.evaluate(params, patients.x, patients.y)

    def _step(self, fitted: Mapping[str, Params], number: int) -> _Step:
        """Sum the updates, check the mean and move both models; after TooFew they stay."""
        updates = {name: _difference(params, self.secure) for name, params in fitted.items()}
        silence = stream(self.options.seed, Purpose.SILENCE, number)
        bits, clip = self.options.bits, self.options.clip
        out, record = self.sums.add(updates, silence, self.cohort.counts, bits=bits, clip=clip)
        if isinstance(out, TooFew):
            return _Step(record)
        plain = self._mean(updates, record.contributors)
        gap, bound = check_mean(out, plain, f"round {number}")
        self._move(out, record.contributors, number)
        return _Step(record, gap, bound, _typical(plain))

    def _move(self, out: Aggregate, contributors: Sequence[str], number: int) -> None:
        """Both models take their mean; the plain one that of updates from its own parameters."""
        updates = {name: _difference(self._fit(name, self.plain, number), self.plain) for name in contributors}
        self.plain = _sum(self.plain, self._mean(updates, contributors))
        self.secure = _sum(self.secure, out.mean)

    def _mean(self, updates: Mapping[str, Params], contributors: Sequence[str]) -> Params:
        """Plain mean of the contributors' clipped updates, weighted by patients."""
        weights = {name: self.cohort.counts[name] for name in contributors}
        clip, total = self.options.clip, sum(weights.values())
        mean: Params = {}
        for key, like in updates[contributors[0]].items():
            mean[key] = np.zeros(np.shape(like))
            for name, weight in weights.items():
                mean[key] += weight / total * np.clip(updates[name][key], -clip, clip)
        return mean

    def _local_loss(self, fitted: Mapping[str, Params], number: int) -> float:
        losses = weights = 0.0
        for name, params in fitted.items():
            patients = self.cohort.hospitals[name]
            losses += len(patients.y) * self._judge(params, patients, number, name).log_loss
            weights += len(patients.y)
        return losses / weights


@contextmanager
def diverging_at(where: str, party: str | None) -> Iterator[None]:
    """Tell where a model diverged.

    Args:
        where: the round, or the model.
        party: the hospital it trained at, or None for a model of all.

    Raises:
        NotFinite: as it came, with where and party.
    """
    try:
        yield
    except NotFinite as error:
        raise NotFinite(f"{where}: {error.why}", party) from None


def _typical(update: Params) -> float:
    """Median magnitude of all entries."""
    return float(np.median(np.abs(np.concatenate([value.ravel() for value in update.values()]))))


def check_mean(out: Aggregate, plain: Params, where: str) -> tuple[float, float]:
    """Hold a secure mean against the plain mean of the same clipped updates.

    Args:
        out: the secure sum's result; its updates were dicts of arrays.
        plain: the plain mean, of the same structure.
        where: the round, for the message.

    Returns:
        The largest |secure - plain| over all entries, and the largest stated bound.

    Raises:
        SecaggError: some entry differs by more than its own bound; names it, the difference and the bound.
    """
    largest_gap = largest_bound = 0.0
    for key, expected in plain.items():
        gap = np.abs(np.asarray(out.mean[key], dtype=np.float64) - expected)
        stated = out.error_bound[key] if isinstance(out.error_bound, Mapping) else out.error_bound
        bound = np.broadcast_to(np.asarray(stated, dtype=np.float64), gap.shape)
        outside = ~(gap <= bound)
        if outside.any():
            index = tuple(int(axis[0]) for axis in np.nonzero(outside))
            raise SecaggError(
                f"{where}: entry {key}{list(index)}: secure and plain mean of the same updates differ by "
                f"{gap[index]:.6g}, expected at most the stated bound {bound[index]:.6g}"
            )
        largest_gap = max(largest_gap, float(gap.max(initial=0.0)))
        largest_bound = max(largest_bound, float(bound.max(initial=0.0)))
    return largest_gap, largest_bound


def _difference(after: Params, before: Params) -> Params:
    return {name: after[name] - before[name] for name in before}


def _sum(params: Params, update: Mapping[str, Any]) -> Params:
    """The moved parameters, in the dtype they had."""
    return {name: (value + update[name]).astype(value.dtype) for name, value in params.items()}

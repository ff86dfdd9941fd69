"""What a run leaves behind: plain records that `msgspec.json.encode` writes as they are.

Hospitals are named by str. Bytes and seconds of a client are medians over the clients of that phase; the
server's are totals. Everything here is the simulation's own view: in a deployment the server sees the sums,
who answered and who did not, while losses of local models and patients per hospital stay where they are.
"""

from dataclasses import dataclass

from secagg.fedavg.settings import Settings

ALONE = "alone"
CENTRALIZED = "centralized"
PLAIN = "plain FedAvg"
SECURE = "secure FedAvg"


@dataclass(frozen=True)
class Metrics:
    """How well probabilities fit outcomes.

    Attributes:
        accuracy: share of patients on the right side of probability 1/2, 0..1.
        auc: area under the ROC curve, 0..1; None where only one class is present.
        log_loss: mean negative log likelihood, in nats.
        patients: how many were judged.
    """

    accuracy: float
    auc: float | None
    log_loss: float
    patients: int


@dataclass(frozen=True)
class Flow:
    """Cost of one phase at one end of one secure sum.

    Attributes:
        phase: the phase's name.
        role: "client" (medians over the clients) or "server" (totals).
        bytes: sent, on the wire.
        seconds: of computing.
    """

    phase: str
    role: str
    bytes: float
    seconds: float


@dataclass(frozen=True)
class SumRecord:
    """What one secure sum came to, with the hospitals in the cohort's order.

    Attributes:
        sampled: the hospitals asked.
        contributors: the hospitals in the sum; empty in a void one.
        lost: {hospital: phase} for all who went silent; one lost after it gave its update is still in the sum.
        misbehaved: {hospital: why}, of what the server saw itself.
        accused: {hospital: what others claim of it}; whoever is wrong, the accused stays in the round.
        too_few: the error's text if the sum was void, else None.
        saturated: entries clipped by the quantizers, all contributors together.
        traffic: bytes and seconds by phase and role; empty in a void sum.
    """

    sampled: tuple[str, ...]
    contributors: tuple[str, ...]
    lost: dict[str, str]
    misbehaved: dict[str, str]
    accused: dict[str, str]
    too_few: str | None
    saturated: int
    traffic: tuple[Flow, ...]


@dataclass(frozen=True)
class StatisticsRecord:
    """One secure sum of the standardisation.

    Attributes:
        name: "ranges", "means", "spreads" or "squares", in this order.
        attempt: 1, or more after a sum that ended in TooFew.
        sum: what it came to.
        seconds: of the whole sum.
    """

    name: str
    attempt: int
    sum: SumRecord
    seconds: float


@dataclass(frozen=True)
class RoundRecord:
    """One round of training, secure and plain beside each other.

    Attributes:
        number: 1..rounds.
        sum: what the secure sum of the updates came to; where it is void, both models stay as they were.
        secure: the secure model after this round, on all held-out patients.
        plain: the same for the model of plain FedAvg.
        local_loss: mean log loss of the sampled hospitals' secure-trained models on their own training
            patients, after local training, in nats, weighted by patients.
        gap: largest |secure mean - plain mean of the same clipped updates| over all entries, both from the
            same starting model; None in a void round.
        bound: largest error bound over all entries (each entry is checked against its own); None likewise.
        seconds: of the whole round, local training of both models included.
        typical: median |plain mean| over all entries of the same clipped updates; None in a void round.
    """

    number: int
    sum: SumRecord
    secure: Metrics
    plain: Metrics
    local_loss: float
    gap: float | None
    bound: float | None
    seconds: float
    typical: float | None = None


@dataclass(frozen=True)
class SiteSummary:
    """One hospital's patients after its own preparation.

    Attributes:
        name: of the hospital.
        train: training patients.
        test: held-out patients.
        positives_train: training patients of the positive class.
        positives_test: held-out patients of the positive class.
        duplicates: rows removed because their record, or on request the same row, stood there before.
        missing: missing values filled with the federated mean, training and held-out patients together.
        identical: rows kept although they equal an earlier one: patients who are alike, or one entered twice.
    """

    name: str
    train: int
    test: int
    positives_train: int
    positives_test: int
    duplicates: int
    missing: int
    identical: int = 0


@dataclass(frozen=True)
class Alone:
    """Each hospital's own model, judged on the held-out patients of all hospitals.

    Attributes:
        hospitals: {hospital: its model on everybody's held-out patients}.
        best: the hospital whose model has the greatest accuracy (then the smallest log loss).
        worst: the hospital whose model has the smallest accuracy (then the greatest log loss).
    """

    hospitals: dict[str, Metrics]
    best: str
    worst: str


@dataclass(frozen=True)
class ComparisonRow:
    """One of the four models on the same held-out patients.

    Attributes:
        model: "alone", "centralized", "plain FedAvg" or "secure FedAvg".
        overall: on all held-out patients together; for "alone" the mean over the hospitals' models.
        hospitals: {hospital: on its own held-out patients}; for "alone" each hospital's own model.
        alone: only for "alone": the hospitals' models on everybody's held-out patients.
    """

    model: str
    overall: Metrics
    hospitals: dict[str, Metrics]
    alone: Alone | None = None


@dataclass(frozen=True)
class Started:
    """The patients are prepared; the first secure sum comes next.

    Attributes:
        settings: the values in force: defaults filled in, the number of hospitals that the site column gave.
        protocol: the scheme's name and options.
        phases: names of its phases, in order.
        classes: (negative, positive) outcome, as the data names them.
        sites: one summary for each hospital.
        features: names of the model's inputs, in order ("column", or "column=category").
    """

    settings: Settings
    protocol: str
    phases: tuple[str, ...]
    classes: tuple[str, str]
    sites: tuple[SiteSummary, ...]
    features: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """The run enters its next part, or has a note on the present one.

    Attributes:
        name: "data", "statistics", "training" or "comparison".
        text: the same in words for a person.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Run(Started):
    """All that one experiment found, after what was known when it started.

    Attributes:
        constant: the features without variance across the hospitals, which the model sees as zero.
        statistics: the secure sums of the standardisation, retried ones included.
        rounds: one record for each round.
        comparison: the four models: alone, centralized, plain, secure.
        seconds: of the whole run.
        notes: what a person should look at, one sentence each; each was a `Stage` too, when it was found.
    """

    constant: tuple[str, ...]
    statistics: tuple[StatisticsRecord, ...]
    rounds: tuple[RoundRecord, ...]
    comparison: tuple[ComparisonRow, ...]
    seconds: float
    notes: tuple[str, ...] = ()


Event = Stage | Started | StatisticsRecord | RoundRecord
"""What `run_experiment` tells its `on_event` while it runs."""

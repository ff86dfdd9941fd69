"""The server's end of one round: asks and replies as Shareables. The controller moves them."""

import logging
from collections.abc import Sequence

import numpy as np
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_copy
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from secagg.adapters.choice import Offer, terms_bytes
from secagg.adapters.nvflare import envelope, model
from secagg.adapters.update import Numbers, counters_of, leaf_dtype
from secagg.api import Aggregate, Coordinator
from secagg.errors import ConfigError, PartyId, WireError
from secagg.primitives.entropy import Entropy
from secagg.scheme import Roster

log = logging.getLogger("nvflare.secagg")


class SecureRound:
    """One round over the sites that the controller sampled.

    Args:
        sites: their names, distinct.
        content: what plain FedAvg would send to all of them: the model, and what stands beside it.
        job, task: ids that the sum is bound to.
        offer: the scheme, for a cohort of this size.
        numbers: how updates are summed.
        counters: names of arrays that held integers in earlier rounds; a mean of integers is a float.
        roster: of site names, where the scheme is `authenticated`.
        entropy: source of the session's id.

    Attributes:
        counters: names of arrays that hold integers now or did so before.
        coordinator: the protocol's state.

    Raises ConfigError or InputError for content or options that no secure sum can serve.
    """

    def __init__(
        self,
        sites: Sequence[str],
        content: Shareable,
        job: str,
        task: str,
        offer: Offer,
        numbers: Numbers,
        counters: frozenset[str],
        roster: Roster | None,
        entropy: Entropy,
    ) -> None:
        self._content = content
        self._arrays = model.arrays_of(model.dxo_of(content, "the model").data, "the model")
        self.counters = counters | counters_of(self._arrays)
        scheme = offer.made(len(sites))
        context = model.context_of(job, task, content)
        session = numbers.session(sites, self._arrays, self.counters, context, entropy)
        self.coordinator = Coordinator(scheme, session, roster)
        terms = offer.terms(scheme, model.WEIGHTED_BY, numbers.metrics)
        self._entry = terms_bytes(terms), session.to_bytes()
        self._phases = {phase.name: phase for phase in scheme.phases}
        self._greeted: set[PartyId] = set()

    @property
    def takes_input(self) -> bool:
        """Whether the open phase is the one in which sites train."""
        phase = self.coordinator.phase
        return phase is not None and self._phases[phase].takes_input

    def asks(self) -> dict[str, Shareable]:
        """{site: task data} of the open phase; with the model where sites train."""
        phase = self.coordinator.phase
        assert phase is not None
        return {str(site): self._ask(phase, site, frame) for site, frame in self.coordinator.asks().items()}

    def _ask(self, phase: str, site: PartyId, frame: bytes) -> Shareable:
        terms, session = (None, None) if site in self._greeted else self._entry
        self._greeted.add(site)
        content = make_copy(self._content) if self.takes_input else Shareable()
        return envelope.put(content, envelope.Ask(envelope.VERSION, phase, frame, terms, session))

    def receive(self, site: str, result: Shareable) -> None:
        """One site's result. What is no reply is logged, and the site counts as lost."""
        if result.get_return_code() != ReturnCode.OK:
            log.warning("secure aggregation: site %s: %s", site, result.get_return_code())
            return
        try:
            frame = envelope.read(result, envelope.Reply).frame
        except (WireError, ConfigError) as error:
            log.warning("secure aggregation: site %s: %s", site, error)
        else:
            if frame is not None:
                self.coordinator.receive(site, frame)

    def result(self) -> Aggregate:
        """The aggregate after the last phase. Raises PeerMisbehaved, or ConfigError where the server learns none."""
        result = self.coordinator.result
        if result is None:
            raise ConfigError("this scheme gives the sum to the sites alone, and a controller needs it at the server")
        return result

    def mean(self, result: Aggregate) -> FLModel:
        """The mean update as the one result that the controller aggregates; floats keep their arrays' dtypes."""
        means = result.mean["arrays"]
        params = {name: np.asarray(means[name], leaf_dtype(array)) for name, array in self._arrays.items()}
        metrics = {name: float(value) for name, value in result.mean["metrics"].items()} or None
        return FLModel(params_type=ParamsType.DIFF, params=params, metrics=metrics)


def no_update(content: Shareable) -> FLModel:
    """An update of zero for the model in `content`: the model stays."""
    arrays = model.arrays_of(model.dxo_of(content, "the model").data, "the model")
    params = {name: np.zeros(array.shape, leaf_dtype(array)) for name, array in arrays.items()}
    return FLModel(params_type=ParamsType.DIFF, params=params)

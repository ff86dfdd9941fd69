"""The server's end of one round: asks and replies as Shareables. The controller moves them."""

import logging
from collections.abc import Collection
from queue import Empty, SimpleQueue

import numpy as np
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_copy
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from secagg.adapters.choice import terms_bytes
from secagg.adapters.nvflare import envelope, model
from secagg.adapters.round import Asked, Plan, Round
from secagg.adapters.run import PREPARE, Opening
from secagg.adapters.update import leaf_dtype
from secagg.api import Aggregate
from secagg.errors import ConfigError, ProtocolError, WireError

log = logging.getLogger("nvflare.secagg")


class SecureRound:
    """One round over the sites that the controller sampled.

    Args:
        plan: the job's.
        sites: names of the cohort, distinct.
        late: names of those who are left out of the round, and only asked to prepare the next one.
        content: what plain FedAvg would send to all of them: the model, and what stands beside it.
        job, task: ids that the sum is bound to.
        counters: names of arrays that held integers in earlier rounds.
        opening: its number in the run, and what sites prepared for it.

    Attributes:
        protocol: what is asked, and what has come of it.
        arrived_late: (site, result) of `late`, or (site, None), from any thread; `leave` takes them in.

    Raises ConfigError or InputError for content or options that no secure sum can serve.
    """

    def __init__(
        self,
        plan: Plan,
        sites: Collection[str],
        late: Collection[str],
        content: Shareable,
        job: str,
        task: str,
        counters: frozenset[str],
        opening: Opening,
    ) -> None:
        self._content = content
        self._weight_max = plan.numbers.weight_max
        self._filtered = 0
        arrays = model.arrays_of(model.dxo_of(content, "the model").data, "the model")
        self.protocol = Round(plan, sites, arrays, counters, model.context_of(job, task, content), opening, late)
        self.arrived_late: SimpleQueue[tuple[str, Shareable | None]] = SimpleQueue()

    def asks(self) -> dict[str, Shareable]:
        """{site: task data} of the open phase; with the model where sites train."""
        return {site: self._ask(asked) for site, asked in self.protocol.opened().items()}

    def _ask(self, asked: Asked) -> Shareable:
        terms, session = (None, None) if asked.entry is None else (terms_bytes(asked.entry[0]), asked.entry[1])
        content = make_copy(self._content) if self.protocol.takes_input else Shareable()
        ask = envelope.Ask(envelope.VERSION, asked.phase, asked.frame, terms, session, asked.ahead)
        return envelope.put(content, ask)

    def requests(self) -> dict[str, Shareable]:
        """{site: task data} that asks those who are left out to prepare the next round."""
        request = self.protocol.request()
        if request is None:
            return {}
        ask = envelope.Ask(envelope.VERSION, PREPARE, b"", terms_bytes(request[0]), None, request[1])
        return {site: envelope.put(Shareable(), ask) for site in self.protocol.left_out}

    def receive(self, site: str, result: Shareable) -> None:
        """One site's result. What is no reply is logged, and the site counts as lost."""
        code = result.get_return_code()
        if code != ReturnCode.OK:
            self._filtered += code == ReturnCode.TASK_RESULT_FILTER_ERROR
            log.warning("secure aggregation: site %s: %s; the site's own log says why", site, code)
            return
        try:
            reply = envelope.read(result, envelope.Reply)
        except (WireError, ConfigError) as error:
            log.warning("secure aggregation: site %s: %s", site, error)
        else:
            self.protocol.take(site, reply.frame, reply.prepared)

    def failed(self, error: ProtocolError) -> str:
        """Why there is no sum, with the likeliest cause where sites could not seal their results."""
        if not self._filtered:
            return str(error)
        if self._filtered == 1:
            why = f"{error}; the result of 1 site did not pass its filters, and that site's log says why"
        else:
            why = (
                f"{error}; results of {self._filtered} sites did not pass their filters, and those sites' logs say why"
            )
        if self._weight_max is None:
            return why
        wanted = f"do the scripts send {model.WEIGHTED_BY} in FLModel.meta, a whole number in 1..{self._weight_max}"
        return f"{why}: {wanted}? weight_max=None asks for none"

    def leave(self) -> None:
        """The round is over: take what those who were left out have sent until now."""
        while True:
            try:
                site, result = self.arrived_late.get_nowait()
            except Empty:
                return
            if result is not None:
                self.receive(site, result)

    def mean(self, result: Aggregate) -> FLModel:
        """The mean update as the one result that the controller aggregates; floats keep their arrays' dtypes."""
        means = result.mean["arrays"]
        params = {name: np.asarray(means[name], leaf_dtype(array)) for name, array in self.protocol.arrays.items()}
        metrics = {name: float(value) for name, value in result.mean["metrics"].items()} or None
        return FLModel(params_type=ParamsType.DIFF, params=params, metrics=metrics)


def no_update(content: Shareable) -> FLModel:
    """An update of zero for the model in `content`: the model stays."""
    arrays = model.arrays_of(model.dxo_of(content, "the model").data, "the model")
    params = {name: np.zeros(array.shape, leaf_dtype(array)) for name, array in arrays.items()}
    return FLModel(params_type=ParamsType.DIFF, params=params)

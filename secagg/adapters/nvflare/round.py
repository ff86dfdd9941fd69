"""The server's end of one round: asks and replies as Shareables. The controller moves them."""

from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_copy
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from secagg.adapters.nvflare import envelope, model
from secagg.federation.round import Round
from secagg.federation.update import Arrays, Model, leaf_dtype


class SecureRound:
    """One round over the sites that the controller sampled.

    Args:
        protocol: what is asked, and what has come of it.
        content: what plain FedAvg would send to all sites: the model, and what stands beside it.

    Attributes:
        protocol: as given.
        arrived_late: (site, result) of those left out, or (site, None), from any thread; `leave` takes them in.
    """

    def __init__(self, protocol: Round, content: Shareable) -> None:
        self.protocol = protocol
        self.arrived_late: SimpleQueue[tuple[str, Shareable | None]] = SimpleQueue()
        self._content = content

    def asks(self) -> dict[str, Shareable]:
        """{site: task data} of the open phase; with the model where sites train."""
        empty: Callable[[], Shareable] = partial(make_copy, self._content) if self.protocol.takes_input else Shareable
        return {site: envelope.put(empty(), ask) for site, ask in self.protocol.asks().items()}

    def requests(self) -> dict[str, Shareable]:
        """{site: task data} that asks those who are left out to prepare the next round."""
        return {site: envelope.put(Shareable(), ask) for site, ask in self.protocol.requests().items()}

    def receive(self, site: str, result: Shareable) -> None:
        """One site's result. What is no reply is logged, and the site counts as lost."""
        code = result.get_return_code()
        if code == ReturnCode.OK:
            self.protocol.receive(site, partial(envelope.read, result, envelope.Reply))
        else:
            self.protocol.warn(site, f"{code}; the site's own log says why")

    def leave(self) -> None:
        """The round is over: take what those who were left out have sent until now."""
        while True:
            try:
                site, result = self.arrived_late.get_nowait()
            except Empty:
                return
            if result is not None:
                self.receive(site, result)

    def mean(self) -> FLModel:
        """The mean update as the one result that the controller aggregates; floats keep their arrays' dtypes."""
        mean, arrays = self.protocol.result().mean, self.protocol.model.arrays
        params = {name: np.asarray(mean["arrays"][name], leaf_dtype(array)) for name, array in arrays.items()}
        metrics = {name: each.mean for name, each in self.protocol.metrics().items()} or None
        return FLModel(params_type=ParamsType.DIFF, params=params, metrics=metrics)


def model_in(content: Shareable, job: str, task: str) -> Model:
    """What sites train, and the digest of it. Raises ConfigError or InputError for what no sum can serve."""
    arrays = model.arrays_of(model.dxo_of(content, "the model").data, "the model")
    return Model(arrays, model.content_digest(job, task, model.bound(content)))


def no_update(arrays: Arrays) -> FLModel:
    """An update of zero: the model stays."""
    params = {name: np.zeros(array.shape, leaf_dtype(array)) for name, array in arrays.items()}
    return FLModel(params_type=ParamsType.DIFF, params=params)

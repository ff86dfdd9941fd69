"""NVFLARE's controller has three of Flower's lies: the name of the weight, which may differ by site (nothing binds
`Invitation.weighted_by`); headers and entries of the Shareable beside the DXO, which reach a site's executor and are in
no digest; and the order of parameters, of which the digest sorts the names. By the first two, a sum over five sites is
one site's update. Active mode, honest sites, one round.

Closed when: the digest covers terms, headers, entries and order, so that sites that were told otherwise refuse.
"""

import flare_federation
import msgspec
import numpy as np
import pytest
from flare_federation import JOB, MODEL, Federation, Trainer, Wire, envelope, move_of, through_the_wire
from nvflare.apis.dxo import DXO, DataKind, MetaKey
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from test_nvflare_site import active

from secagg.adapters.nvflare import model
from secagg.federation.messages import Invitation

SITES, VICTIM, CLIP = 5, "site-3", 0.5
STEPS = 400
ACTIVE = {"options": {"adversary": "active"}, "roster": "roster.json"}
WIDE = {name: array.astype(float) for name, array in MODEL.items()}


class OtherNames(Wire):
    """Tells all but the victim another name of the weight."""

    def _deliver(self, task, site, fl_ctx):
        if envelope.KEY in task.data and site != VICTIM:
            ask = envelope.read(task.data, envelope.Ask)
            if ask.terms is not None:
                told = msgspec.structs.replace(Invitation.from_bytes(ask.terms), weighted_by="local_epochs")
                envelope.put(task.data, msgspec.structs.replace(ask, terms=told.to_bytes()))
        return super()._deliver(task, site, fl_ctx)


class OtherHeaders(Wire):
    """Tells all but the victim, beside the model, to take no step."""

    def _deliver(self, task, site, fl_ctx):
        task.data.set_header("local_steps", int(site == VICTIM))
        task.data["learning_rate"] = float(site == VICTIM)
        return super()._deliver(task, site, fl_ctx)


def moved(received, site, rate=1.0):
    params = {name: array + rate * move_of(site, 0, array.shape) for name, array in received.params.items()}
    return FLModel(params=params, meta={MetaKey.NUM_STEPS_CURRENT_ROUND: STEPS, "local_epochs": 1})


class Obedient(Trainer):
    """An executor that reads how far to go from the task."""

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        rate = shareable.get_header("local_steps", 1) * shareable.get("learning_rate", 1.0)
        received = FLModelUtils.from_shareable(shareable)
        return FLModelUtils.to_shareable(moved(received, fl_ctx.get_identity_name(), rate))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """One active round over a lying wire: its outcome, and the model's change times the total weight."""

    def round_(wire, trainer):
        monkeypatch.setattr(flare_federation, "Wire", wire)
        federation = Federation(tmp_path, SITES)
        for site in federation.sites.values():
            site.trainer = trainer()
            site.start()
        active(federation, tmp_path)
        how = {**ACTIVE, "rounding": "nearest", "clip": CLIP, "weight_max": STEPS}
        outcome = federation.secure(1, model=WIDE, **how).outcomes[0]
        assert len(outcome.contributors) == SITES
        return outcome, {name: (federation.models[0][name] - WIDE[name]) * outcome.weight for name in WIDE}

    return round_


def test_a_key_of_the_weight_for_each_site_gives_one_sites_update(run):
    outcome, total = run(OtherNames, lambda: Trainer(lambda site, received: moved(received, site)))
    assert outcome.weight == STEPS + SITES - 1
    for name, array in WIDE.items():
        most = ((SITES - 1) * CLIP + outcome.error_bound[name] * outcome.weight) / STEPS
        assert most < 0.01
        assert np.abs(total[name] / STEPS - move_of(VICTIM, 0, array.shape)).max() <= most


def test_what_stands_beside_the_model_gives_one_sites_update(run):
    outcome, total = run(OtherHeaders, Obedient)
    assert outcome.weight == STEPS * SITES
    for name, array in WIDE.items():
        most = outcome.error_bound[name] * SITES
        assert most < 2e-4
        assert np.abs(total[name] / STEPS - move_of(VICTIM, 0, array.shape)).max() <= most + 1e-12


def test_two_orders_of_the_parameters_have_one_digest():
    digests, orders = set(), []
    for names in ("ab", "ba"):
        data = {name: np.full(3, float(name == "b")) for name in names}
        received = through_the_wire(DXO(DataKind.WEIGHTS, data=data, meta={"x": 1}).to_shareable())
        digests.add(model.context_of(JOB, "train", received))
        orders.append(list(model.dxo_of(received, "task").data))
    assert orders == [["a", "b"], ["b", "a"]]
    assert len(digests) == 1

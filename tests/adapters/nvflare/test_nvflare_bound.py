"""Nothing that a server says at one site alone reaches what trains there: it is bound, or withheld, or turned away.

Active mode, honest sites, a lying wire. Each attack falls on the weakened twin, which is this adapter without the line
that stops it: there the sum over five sites is one site's update.
"""

import flare_federation
import msgspec
import numpy as np
import pytest
from flare_federation import JOB, MODEL, Federation, Trainer, Wire, envelope, move_of, through_the_wire
from nvflare.apis.dxo import DXO, DataKind, MetaKey
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import EventScope, FLContextKey, ReturnCode
from nvflare.apis.shareable import ReservedHeaderKey, make_copy
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from test_nvflare_site import active, held_at, plain_task

from secagg.adapters.nvflare import model
from secagg.errors import ConfigError
from secagg.federation import client as federation_client
from secagg.federation import round as federation_round
from secagg.federation.context import digest_of
from secagg.federation.messages import Invitation

SITES, VICTIM, CLIP, STEPS = 5, "site-3", 0.5, 400
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
    """Tells all but the victim, in a header, to take no step."""

    def _deliver(self, task, site, fl_ctx):
        if "DXO" in task.data:
            task.data.set_header("learning_rate", float(site == VICTIM))
        return super()._deliver(task, site, fl_ctx)


class OtherEntries(Wire):
    """Tells them so in an entry beside the model."""

    def _deliver(self, task, site, fl_ctx):
        if "DXO" in task.data:
            task.data["learning_rate"] = float(site == VICTIM)
        return super()._deliver(task, site, fl_ctx)


class OtherCookies(Wire):
    """Tells them so in a header that NVFLARE needs, and that no digest can hold."""

    def _deliver(self, task, site, fl_ctx):
        task.data.add_cookie("learning_rate", float(site == VICTIM))
        return super()._deliver(task, site, fl_ctx)


class OtherOrder(Wire):
    """Sends all but the victim the parameters in another order."""

    def _deliver(self, task, site, fl_ctx):
        if "DXO" in task.data and site != VICTIM:
            task.data["DXO"] = task.data["DXO"] | {"data": dict(reversed(task.data["DXO"]["data"].items()))}
        return super()._deliver(task, site, fl_ctx)


class Obedient(Trainer):
    """An executor that reads how far to go from wherever the task says it."""

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        said = [shareable.get_header("learning_rate"), shareable.get("learning_rate")]
        said += [
            shareable.get_cookie("learning_rate"),
            None if next(iter(shareable["DXO"]["data"])) == "weights" else 0,
        ]
        rate = next((each for each in said if each is not None), 1.0)
        received = FLModelUtils.from_shareable(shareable)
        site = fl_ctx.get_identity_name()
        params = {name: array + rate * move_of(site, 0, array.shape) for name, array in received.params.items()}
        meta = {MetaKey.NUM_STEPS_CURRENT_ROUND: STEPS, "local_epochs": 1}
        return FLModelUtils.to_shareable(FLModel(params=params, meta=meta))


def of_names(arrays):
    return digest_of(sorted(arrays.items()))


def unbound(monkeypatch):
    """A twin: the digests are of the parameters, by name."""
    monkeypatch.setattr(federation_client, "model_digest", of_names)
    monkeypatch.setattr(federation_round, "model_digest", of_names)
    monkeypatch.setattr(federation_client, "fits", lambda *_: True)
    monkeypatch.setattr(
        model, "content_digest", lambda job, task, content: digest_of(job, task, sorted(content["DXO"]["data"].items()))
    )


def not_withheld(monkeypatch):
    """A twin: the task as it came, without this adapter's entry."""

    def all_but_the_entry(shareable):
        content = make_copy(shareable)
        content.pop(envelope.KEY, None)
        return content

    unbound(monkeypatch)
    monkeypatch.setattr(model, "bound", all_but_the_entry)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """One active round over a lying wire: its outcome, and the model's change times the total weight."""

    def round_(wire):
        monkeypatch.setattr(flare_federation, "Wire", wire)
        federation = Federation(tmp_path, SITES)
        for site in federation.sites.values():
            site.trainer = Obedient()
            site.start()
        active(federation, tmp_path)
        outcome = federation.secure(
            1, model=WIDE, options={"adversary": "active"}, roster="roster.json", clip=CLIP, weight_max=STEPS
        ).outcomes[0]
        total = {name: (federation.models[0][name] - WIDE[name]) * (outcome.weight or 0) for name in WIDE}
        return outcome, total

    return round_


def is_the_victims(outcome, total) -> bool:
    """Whether a sum over all is one site's update, to its rounding."""
    off = [np.abs(total[name] / STEPS - move_of(VICTIM, 0, array.shape)).max() for name, array in WIDE.items()]
    return max(off) <= SITES * max(outcome.error_bound.values()) + 1e-12


@pytest.mark.parametrize("wire", [OtherHeaders, OtherEntries, OtherOrder])
def test_what_is_said_at_one_site_alone_is_refused(run, wire, caplog):
    outcome, _ = run(wire)
    assert outcome.failure is not None
    assert "InconsistentModel" in caplog.text


@pytest.mark.parametrize("wire", [OtherHeaders, OtherEntries, OtherOrder])
def test_unbound_it_gives_one_sites_update(run, wire, monkeypatch):
    unbound(monkeypatch)
    assert is_the_victims(*run(wire))


def test_what_nvflare_needs_to_differ_reaches_no_executor(run):
    outcome, total = run(OtherCookies)
    for name, array in WIDE.items():
        moves = sum(move_of(f"site-{number}", 0, array.shape) for number in range(1, SITES + 1))
        assert np.abs(total[name] / STEPS - moves).max() <= SITES * outcome.error_bound[name] + 1e-12


def test_where_it_does_it_gives_one_sites_update(run, monkeypatch):
    not_withheld(monkeypatch)
    assert is_the_victims(*run(OtherCookies))


def test_another_name_of_the_weight_is_refused(run):
    assert run(OtherNames)[0].failure is not None


class Looking(Trainer):
    """Remembers all that a task shows it of the server."""

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        self.headers, self.entries = dict(shareable["__headers__"]), set(shareable)
        self.peer = fl_ctx.get_peer_context().get_all_public_props()
        self.ids = fl_ctx.get_prop(FLContextKey.TASK_ID), fl_ctx.get_prop(FLContextKey.SSID)
        assert fl_ctx.get_prop(FLContextKey.TASK_DATA) is shareable
        return super().execute(task_name, shareable, fl_ctx, abort_signal)


def test_what_an_executor_sees_of_the_server(tmp_path):
    federation, held = held_at(tmp_path, "masked")
    site, task = federation.sites["site-1"], held["site-1"]
    site.trainer.__class__ = Looking
    for name in model.WITHHELD - {ReservedHeaderKey.PEER_CTX, ReservedHeaderKey.COOKIE_JAR}:
        task.set_header(name, "of this site alone")
    task.add_cookie("workflow", "w")
    result = site.do("train", task, "the server's id", session="the server's session")
    seen = site.trainer
    assert seen.entries == {"__headers__", "DXO"}
    assert list(seen.headers) == ["__content_type__", "start_round", "current_round", "num_rounds"]
    assert seen.peer == {FLContextKey.CURRENT_RUN: JOB}
    assert seen.ids[0] != "the server's id"
    assert seen.ids[1] is None
    assert result.get_return_code() == ReturnCode.OK
    assert result.get_cookie("workflow") == "w"
    assert result.get_header(ReservedHeaderKey.TASK_ID) == "the server's id"
    assert site.sent == ("the server's id", "the server's session")


def test_arrays_lie_in_one_order_whatever_the_wire_says():
    data = {"w": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": np.array(3)}
    sent = DXO(DataKind.WEIGHTS, data=data, meta={"a": (1, np.float32(2.0)), "kind": DataKind.METRICS}).to_shareable()
    arrived = through_the_wire(sent)
    contents = [model.bound(each) for each in (sent, arrived)]
    assert len({model.content_digest(JOB, "train", each) for each in contents}) == 1
    for content in contents:
        (dxo,) = (content["DXO"],)
        assert dxo["data"]["w"].flags.c_contiguous
        assert dxo["data"]["n"].shape == ()
        assert (dxo["meta"]["a"], dxo["meta"]["kind"]) == ([1, 2.0], "METRICS")
        assert {type(each) for each in dxo["meta"]["a"]} == {int, float}


def test_headers_that_are_none():
    shareable = DXO(DataKind.WEIGHTS, data={"w": np.zeros(1)}).to_shareable()
    shareable[ReservedHeaderKey.HEADERS] = ["__content_type__"]
    with pytest.raises(ConfigError, match="headers are list"):
        model.bound(shareable)


class Asked(Trainer):
    """While it trains, the server pushes it another task beside the first; says which it got first."""

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        if task_name == "train":
            self.pushed = self.push()
        return super().execute(task_name, shareable, fl_ctx, abort_signal)


@pytest.mark.parametrize("gated", [True, False], ids=["", "twin"])
def test_a_task_that_is_pushed_beside_another_is_turned_away(tmp_path, gated):
    """A training script in the job's own process takes any model that comes while it waits for one to train."""
    federation, held = held_at(tmp_path, "masked")
    site = federation.sites["site-1"]
    if not gated:
        site.runner._process_task = site.runner._process_task._process
    site.trainer.__class__ = Asked
    site.trainer.push = lambda: site.push("validate", plain_task())
    assert site.do("train", held["site-1"]).get_return_code() == ReturnCode.OK
    assert (site.trainer.pushed.get_return_code() == ReturnCode.SERVICE_UNAVAILABLE) == gated
    assert ("validate" in site.trainer.seen) != gated
    assert site.push("validate", plain_task()).get_return_code() != ReturnCode.SERVICE_UNAVAILABLE


@pytest.mark.parametrize("event", [EventType.START_RUN, EventType.SWAP_IN, EventType.END_RUN])
def test_a_servers_event_is_none_of_the_runs_own(tmp_path, event):
    """A federated event has any name that its sender gives it, those of NVFLARE's own among them."""
    federation, held = held_at(tmp_path, "masked")
    site = federation.sites["site-1"]
    before = site.executor._client, site.executor._memory
    site.fire(event, EventScope.FEDERATION)
    assert (site.executor._client, site.executor._memory) == before
    assert site.executor._memory.lasting is False
    assert site.do("train", held["site-1"]).get_return_code() == ReturnCode.OK


def test_no_state_on_disk_outside_the_simulator(tmp_path):
    site = Federation(tmp_path, 3, simulated=False).sites["site-1"]
    site.fire(EventType.SWAP_IN)
    assert site.executor._memory.lasting is False


def test_a_return_code_is_one_of_nvflares(tmp_path):
    class Talking(Trainer):
        def execute(self, *args):
            reply = super().execute(*args)
            reply.set_return_code("patient 7 has no scan")
            return reply

    federation, held = held_at(tmp_path, "masked")
    federation.sites["site-1"].trainer.__class__ = Talking
    result = federation.sites["site-1"].do("train", held["site-1"])
    assert result.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "patient" not in str(result)


def test_an_executors_exception_carries_nothing_else(tmp_path):
    class Failing(Trainer):
        def execute(self, *args):
            raise ConfigError("patient 7 has no scan")

    federation, held = held_at(tmp_path, "masked")
    federation.sites["site-1"].trainer.__class__ = Failing
    result = federation.sites["site-1"].do("train", held["site-1"])
    assert result.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "patient" not in str(result)


def test_validation_in_clear_is_a_sites_own_decision(tmp_path, caplog):
    federation = Federation(tmp_path, 3, result=lambda site, received: FLModel(metrics={"auc": 0.5}))
    active(federation, tmp_path)
    site = federation.sites["site-1"]
    assert site.do("validate", plain_task()).get_return_code() == ReturnCode.TASK_DATA_FILTER_ERROR
    assert "its numbers leave in clear" in caplog.text
    active(federation, tmp_path, validate=True)
    assert FLModelUtils.from_shareable(site.do("validate", plain_task())).metrics == {"auc": 0.5}


def again(federation, job):
    """Another job of the same server over the same model; every site has a process for it."""
    federation.job = job
    for site in federation.sites.values():
        site.job = job
        site.start()
    return federation.secure(options={"adversary": "active", "threshold": 4}, roster="roster.json").outcomes[0]


@pytest.mark.parametrize("stored", [True, False], ids=["", "twin"])
def test_a_second_job_over_one_model_opens_no_second_cohort(tmp_path, stored):
    """Two cohorts that differ by one site: the difference of the two sums is that site's update."""
    federation = Federation(tmp_path, 5, simulated=not stored)
    active(federation, tmp_path, **({"store": "secagg.ledger"} if stored else {}))
    assert again(federation, "job-8").failure is None
    federation.lose = lambda site, phase: "silent" if site == "site-1" else None
    assert (again(federation, "job-9").failure is not None) == stored


@pytest.mark.parametrize("stored", [True, False], ids=["", "twin"])
def test_of_two_jobs_at_a_time_over_one_model_one_is_opened(tmp_path, stored):
    """The second begins, and ends, while the sites of the first are about to open theirs."""
    more = {"store": "secagg.ledger"} if stored else {}
    first, second = (Federation(tmp_path, 5, simulated=not stored) for _ in range(2))
    active(first, tmp_path, **more)
    second.lose = lambda site, phase: "silent" if site == "site-1" else None
    meanwhile = []

    def begin_another(site, phase):
        if phase == "unmask" and not meanwhile:
            meanwhile.append(again(second, "job-9"))

    first.lose = begin_another
    outcome = again(first, "job-8")
    assert meanwhile[0].failure is None
    assert (outcome.failure is not None) == stored


def test_an_identity_without_a_store_takes_part_in_the_simulator_alone(tmp_path, caplog):
    federation = Federation(tmp_path, 4, simulated=False)
    active(federation, tmp_path)
    with pytest.raises(ConfigError, match="names an identity and no store"):
        federation.sites["site-1"].start()
    assert federation.secure(options={"adversary": "active"}, roster="roster.json").outcomes[0].failure is not None
    assert "names an identity and no store" in caplog.text


def test_an_identity_and_a_log_that_the_server_gets_do_not_go_together(tmp_path, caplog):
    """NVFLARE's startup kits let a site stream its error log to the server, tracebacks and all."""
    federation = Federation(tmp_path, 4, simulated=False)
    active(federation, tmp_path, store="secagg.ledger")
    (tmp_path / "site-1" / "local" / "resources.json").unlink()
    with pytest.raises(ConfigError, match="allow_log_streaming"):
        federation.sites["site-1"].start()
    for name in federation.names[1:]:
        federation.sites[name].start()
    outcome = federation.secure(options={"adversary": "active", "threshold": 3}, roster="roster.json").outcomes[0]
    assert outcome.lost == {"site-1": "keys"}
    assert "streams its log to it" in caplog.text


def test_the_simulator_says_where_it_remembers(tmp_path, caplog):
    federation = Federation(tmp_path, 4)
    active(federation, tmp_path)
    with caplog.at_level("INFO"):
        federation.sites["site-1"].start()
    assert caplog.text.count("simulation: what site-1 helps to open is remembered") == 1

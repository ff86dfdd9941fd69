"""A site sends its update into a secure sum that it agrees to, and tells the server nothing else."""

import json

import msgspec
import numpy as np
import pytest
from flare_federation import JOB, MODEL, WEIGHT_MAX, Federation, Trainer, close, mean_move, phase_of
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FilterKey, ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.private.privacy_manager import Scope

from secagg import Credentials, Draw, Roster
from secagg.adapters.nvflare import NVFLARE, SecAggResultFilter, SecAggTaskFilter, envelope, model
from secagg.adapters.nvflare._installed import check_nvflare
from secagg.adapters.nvflare.memory import FILES, LEDGER, RunFolder
from secagg.adapters.nvflare.site import Site
from secagg.errors import ConfigError, StateError, WireError
from secagg.federation.memory import SavedKeys, SavedRound
from secagg.primitives import signing
from secagg.testing import SeededEntropy


def held_at(folder, phase, sites=3, **how):
    """A federation whose round stopped before `phase`; {site: task data} that no site has seen."""
    site_file = how.pop("site_file", None)
    federation = Federation(folder, sites, result=how.pop("result", None), filters=how.pop("filters", ()))
    if site_file is not None:
        for name in federation.names:
            (folder / name / "local" / "secagg.json").write_text(json.dumps(site_file))
    federation.lose = lambda site, at: "silent" if at == phase else None
    federation.secure(**how)
    return federation, {site: data for at, site, data in federation.wire.tasks if at == phase}


def answer(federation, site, data, name=None):
    """What the site replies to a task."""
    name = name or ("train" if phase_of(data) == "masked" else envelope.TASK)
    return federation.sites[site].do(name, data)


def refusal(federation, data, caplog, site="site-1", name=None):
    """The return code, and what the site's own log says; nothing else is in the result."""
    caplog.clear()
    result = answer(federation, site, data, name)
    assert result.get_return_code() != ReturnCode.OK
    assert set(result) == {"__headers__"}
    return result.get_return_code(), caplog.text


def plain_task(**changes):
    fl_model = FLModel(params=dict(MODEL), current_round=0, total_rounds=1)
    return FLModelUtils.to_shareable(fl_model)


def test_a_plain_training_task_is_refused_and_nothing_is_trained(tmp_path, caplog):
    federation = Federation(tmp_path, 3)
    code, log = refusal(federation, plain_task(), caplog, name="train")
    assert code == ReturnCode.TASK_DATA_FILTER_ERROR
    assert "without secure aggregation" in log
    assert federation.sites["site-1"].trainer.seen == []


def test_the_local_model_is_not_handed_over(tmp_path, caplog):
    federation = Federation(tmp_path, 3)
    code, _ = refusal(federation, Shareable(), caplog, name="submit_model")
    assert code == ReturnCode.TASK_DATA_FILTER_ERROR


def test_validation_passes(tmp_path):
    federation = Federation(tmp_path, 3, result=lambda site, received: FLModel(metrics={"auc": 0.5}))
    result = federation.sites["site-1"].do("validate", plain_task())
    assert FLModelUtils.from_shareable(result).metrics == {"auc": 0.5}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["DXO"].update(kind=DataKind.WEIGHT_DIFF),
        lambda data: data["DXO"]["data"].update(bias=MODEL["bias"] + 1e-9),
        lambda data: data["DXO"]["data"].update(bias=MODEL["bias"].astype(np.float32)),
        lambda data: data["DXO"]["data"].update(more=MODEL["bias"]),
        lambda data: data["DXO"]["meta"].update(mu=0.1),
        lambda data: data.set_header("current_round", 1),
    ],
    ids=["kind", "parameters", "dtype", "names", "beside", "round"],
)
def test_another_model_than_the_sessions_is_not_trained(tmp_path, caplog, change):
    federation, held = held_at(tmp_path, "masked")
    data = held["site-1"]
    change(data)
    code, log = refusal(federation, data, caplog)
    assert code == ReturnCode.TASK_DATA_FILTER_ERROR
    assert "InconsistentModel" in log
    assert federation.sites["site-1"].trainer.seen == []
    assert "StateError" in refusal(federation, data, caplog)[1]  # who has refused takes no further part


def result_of(params=None, meta=None, **how):
    def train(site, received):
        params_sent = received.params if params is None else params
        return FLModel(params=params_sent, meta={"NUM_STEPS_CURRENT_ROUND": 77123} if meta is None else meta, **how)

    return train


def test_an_executors_error_carries_nothing_else(tmp_path):
    class Failing(Trainer):
        def execute(self, *args):
            reply = super().execute(*args)
            reply.set_return_code(ReturnCode.EMPTY_RESULT)
            return reply

    federation, held = held_at(tmp_path, "masked")
    federation.sites["site-1"].trainer.__class__ = Failing
    result = answer(federation, "site-1", held["site-1"])
    assert result.get_return_code() == ReturnCode.EMPTY_RESULT
    assert set(result) == {"__headers__"}


def test_the_same_task_again_gets_the_same_bytes_and_is_not_trained_for(tmp_path):
    for phase in ("keys", "shares", "masked", "unmask"):
        federation, held = held_at(tmp_path / phase, phase)
        first = answer(federation, "site-1", held["site-1"])
        if phase in ("masked", "unmask"):  # a filter gives no reply of its own; the last answer ends the part
            assert answer(federation, "site-1", held["site-1"]).get_return_code() != ReturnCode.OK
        else:
            assert answer(federation, "site-1", held["site-1"])[envelope.KEY] == first[envelope.KEY]
        assert len(federation.sites["site-1"].trainer.seen) == (phase in ("masked", "unmask"))


def test_an_earlier_ask_again_is_refused(tmp_path, caplog):
    federation, held = held_at(tmp_path, "masked")
    answer(federation, "site-1", held["site-1"])
    (shares,) = (data for phase, site, data in federation.wire.tasks if (phase, site) == ("shares", "site-1"))
    assert "WireError" in refusal(federation, shares, caplog)[1]  # a late copy, which ends no round


@pytest.mark.parametrize("how", ["phase", "task"])
def test_a_model_is_trained_in_its_own_phase_only(tmp_path, caplog, how):
    federation, held = held_at(tmp_path, "masked")
    data = held["site-1"]
    if how == "task":
        assert "without a model" in refusal(federation, data, caplog, name=envelope.TASK)[1]
        return
    ask = msgspec.structs.replace(envelope.read(data, envelope.Ask), phase="shares")
    assert (
        "expected 'masked', whose frame it has" in refusal(federation, envelope.put(data, ask), caplog, name="train")[1]
    )
    (shares,) = (each for phase, site, each in federation.wire.tasks if (phase, site) == ("shares", "site-1"))
    ask = envelope.read(shares, envelope.Ask)
    assert "in a training task" in refusal(federation, envelope.put(data, ask), caplog, name="train")[1]
    assert federation.sites["site-1"].trainer.seen == []


@pytest.mark.parametrize(
    ("site_file", "server", "match"),
    [
        ({"min_cohort": 4}, {}, "a sum over 3 parties"),
        ({"min_threshold": 3}, {"options": {"threshold": 2}}, "2 shares open a secret"),
        ({"max_dim": 10}, {}, "this party's policy allows 10"),
        ({"clip": [0.75, 2.0]}, {}, "allows 0.75..2 (Policy.clip)"),
        ({"clip": {"bias": [0.75, 2.0]}}, {}, "clip of update['arrays']['bias'] is 0.5"),
        ({"bits": [17, 32]}, {}, "bits is 16"),
        ({"weights": [1, 40]}, {}, "this party declares others"),
        ({"weights": [40, 4]}, {}, "secagg.json of site 'site-1': weights is (40, 4)"),
        ({"weight_ratio": 10}, {}, "allows a ratio of 10 (Policy.weight_ratio)"),
        ({"weight_ratio": 0}, {}, "secagg.json of site 'site-1': Expected `int` >= 1 - at `$.weight_ratio`"),
        ({"levels": 4000}, {}, "asks for 4000 (Policy.levels)"),
        ({"draw": {"beacon": "00" * 16, "size": 3, "rounds": 1}}, {}, "it names no identity"),
        ({"unusable": "loud"}, {}, "secagg.json of site 'site-1'"),
        ({"saturation": 1.5}, {}, "`float` <= 1.0 - at `$.saturation`"),
        ({"protocols": ["secagg+"]}, {}, "this client allows"),
        ({"protocols": ["sekagg"]}, {}, "'sekagg' is unknown"),
        ({"min_cohort": 1}, {}, "secagg.json of site 'site-1': Expected `int` >= 2 - at `$.min_cohort`"),
        ({"min_cohort": "many"}, {}, "secagg.json of site 'site-1'"),
        ({"mincohort": 4}, {}, "secagg.json of site 'site-1'"),
        ({"identity": {"key": "no", "passphrase": "no", "roster": "no"}}, {}, "identity of site 'site-1'"),
    ],
)
def test_what_a_sites_own_file_forbids(tmp_path, caplog, site_file, server, match):
    federation, held = held_at(tmp_path, "keys", site_file=site_file, **server)
    assert match in refusal(federation, held["site-1"], caplog)[1]


def test_a_stranger_to_the_session(tmp_path, caplog):
    _, held = held_at(tmp_path, "keys")
    stranger = Federation(tmp_path / "other", 9)
    assert "UnknownParty" in refusal(stranger, held["site-1"], caplog, site="site-9")[1]


def test_another_version_of_the_adapter_says_so(tmp_path, caplog):
    federation, held = held_at(tmp_path, "keys")
    ask = msgspec.structs.replace(envelope.read(held["site-1"], envelope.Ask), version=2)
    log = refusal(federation, envelope.put(held["site-1"], ask), caplog, name=envelope.TASK)[1]
    assert "version 2 of this adapter, expected 3" in log


def active(federation, folder, **more):
    """Identity files for every site, the roster for the server."""
    known = Credentials.generate(federation.names, SeededEntropy("nvflare"))
    for name, mine in known.items():
        local = folder / name / "local"
        (local / "me.pem").write_bytes(signing.save_private(mine.identity, b"six words drawn with dice"))
        (local / "passphrase").write_bytes(b"six words drawn with dice\n")
        (local / "roster.json").write_bytes(mine.roster.to_bytes())
        (local / "resources.json").write_text(json.dumps({"allow_log_streaming": False}))
        identity = {"key": "me.pem", "passphrase": "passphrase", "roster": "roster.json"}
        (local / "secagg.json").write_text(json.dumps({"identity": identity, "weights": WEIGHTS} | more))
    (folder / "server" / "local").mkdir(parents=True, exist_ok=True)
    (folder / "server" / "local" / "roster.json").write_bytes(known[federation.names[0]].roster.to_bytes())


WEIGHTS = (20, WEIGHT_MAX)
ACTIVE = {"options": {"adversary": "active", "threshold": 3}, "roster": "roster.json"}


@pytest.mark.parametrize("swapping", [False, True])
def test_active_mode(tmp_path, swapping):
    federation = Federation(tmp_path, 4, swapping=swapping)
    active(federation, tmp_path)
    controller = federation.secure(2, **ACTIVE)
    whole = ["keys", "shares", "masked", "consistency", "unmask"]
    assert federation.trips == [*whole, *whole[1:]]
    wanted = {n: MODEL[n] + sum(mean_move(federation.names, r)[n] for r in range(2)) for n in MODEL}
    close(federation.models[1], wanted, {n: 2 * b for n, b in controller.outcomes[1].error_bound.items()}, 2)


def test_active_sites_open_no_second_sum_of_nearly_the_same_cohort(tmp_path):
    """The same job and round again, with one site less: the difference would be that site's update."""
    federation = Federation(tmp_path, 5)
    active(federation, tmp_path)
    how = {"options": {"adversary": "active", "threshold": 4}, "roster": "roster.json"}
    assert federation.secure(**how).outcomes[0].failure is None
    for site in federation.sites.values():
        site.start()  # what each has helped to open outlives its process
    federation.lose = lambda site, phase: "silent" if site == "site-1" else None
    assert federation.secure(**how).outcomes[0].failure is not None


@pytest.mark.parametrize(("more", "agreed"), [({}, False), ({"assumptions": {"corrupt": 0}}, True)], ids=["", "told"])
def test_active_sites_say_how_many_may_be_corrupt(tmp_path, caplog, more, agreed):
    federation = Federation(tmp_path, 4)
    active(federation, tmp_path, **more)
    how = {"options": {"adversary": "active", "corrupt": 0.0}, "roster": "roster.json"}
    assert (federation.secure(**how).outcomes[0].failure is None) == agreed
    assert ("this client asks for at least 0.05" in caplog.text) != agreed


BEACON = "5eca66" * 8


@pytest.mark.parametrize("drawn", [True, False], ids=["", "another"])
def test_active_sites_take_part_in_the_cohort_that_is_drawn(tmp_path, caplog, drawn):
    """Of five, all but one: whoever the server would rather leave out."""
    federation = Federation(tmp_path, 5)
    active(federation, tmp_path, draw={"beacon": BEACON, "size": 4, "rounds": 1})
    roster = Roster.from_bytes((tmp_path / "server" / "local" / "roster.json").read_bytes())
    cohort = Draw(bytes.fromhex(BEACON), 4, 1).cohort(roster, 0)
    left = set(federation.names) - set(cohort)
    federation.names = sorted(cohort if drawn else [*cohort[1:], *left])
    assert (federation.secure(**ACTIVE, max_late=0.0).outcomes[0].failure is None) == drawn
    assert ("not the cohort drawn for round 0" in caplog.text) != drawn


@pytest.mark.parametrize(
    ("draw", "match"),
    [
        ({"beacon": "00", "size": 3, "rounds": 1}, "secagg.json of site 'site-1': draw: beacon is"),
        ({"beacon": "no", "size": 3, "rounds": 1}, "secagg.json of site 'site-1': Expected `str` matching"),
        ({"beacon": BEACON, "size": 1, "rounds": 1}, "secagg.json of site 'site-1': draw: size is 1"),
        ({"beacon": BEACON, "size": 3}, "secagg.json of site 'site-1': Object missing required field `rounds`"),
        ({"beacon": BEACON, "size": 5, "rounds": 1}, "cohorts of 5 from a roster of 4"),
    ],
)
def test_what_is_no_draw(tmp_path, draw, match):
    federation = Federation(tmp_path, 4)
    active(federation, tmp_path, draw=draw)
    with pytest.raises(ConfigError, match=match):
        Site(tmp_path / "site-1" / "local", "site-1").limits()


def test_active_sites_refuse_a_passive_round(tmp_path, caplog):
    federation = Federation(tmp_path, 4)
    active(federation, tmp_path)
    assert federation.secure().outcomes[0].failure is not None
    assert "active mode only" in caplog.text


def scope_of(*filters):
    scope = Scope()
    scope.set_name("site")
    for each in filters:
        if isinstance(each, SecAggTaskFilter):
            scope.add_task_data_filter(each, FilterKey.IN)
        else:
            scope.add_task_result_filter(each, FilterKey.OUT)
    return scope


def test_a_sites_own_privacy_policy_insists(tmp_path, caplog):
    """The two filters in `privacy.json` let no job without them have an update."""
    federation = Federation(tmp_path, 3, secure=False)
    site, scope = federation.sites["site-1"], scope_of(SecAggTaskFilter(), SecAggResultFilter())
    assert site.do("train", plain_task(), scope=scope).get_return_code() == ReturnCode.TASK_DATA_FILTER_ERROR
    assert site.do("other", plain_task(), scope=scope).get_return_code() == ReturnCode.TASK_DATA_FILTER_ERROR
    leak = site.do("validate", plain_task(), scope=scope)
    assert leak.get_return_code() == ReturnCode.TASK_RESULT_FILTER_ERROR
    assert set(leak) == {"__headers__"}


def validated(federation, **fields):
    """What a site lets out of a validation task whose result is this DXO, with more beside it."""

    class Validator(Trainer):
        def execute(self, *args):
            reply = DXO(**{"data_kind": DataKind.METRICS, **fields}).to_shareable()
            reply["model"], reply["DXO"]["more"] = MODEL["bias"], MODEL["bias"]
            reply.set_header("model", MODEL["bias"])
            return reply

    site = federation.sites["site-1"]
    site.trainer.__class__ = Validator
    task = plain_task()
    task.add_cookie("owner", "best")
    return site.do("validate", task, scope=scope_of(SecAggTaskFilter(), SecAggResultFilter()))


def test_of_a_validation_the_numbers_leave_and_nothing_beside_them(tmp_path):
    metrics = {"auc": 0.5, "seen": 7, "loss": np.float32(0.25), "done": True}
    meta = {"weights": MODEL["weights"]}
    result = validated(Federation(tmp_path, 3, secure=False), data=metrics, meta=meta)
    assert result.get_return_code() == ReturnCode.OK
    assert set(result) == {"__headers__", "DXO"}
    assert result["DXO"] == {"kind": DataKind.METRICS, "data": metrics, "meta": {}}
    assert result.get_cookie("owner") == "best"  # the server's own, given back by NVFLARE
    assert result.get_header("model") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"auc": MODEL["bias"]}},
        {"data": {"auc": {"bias": 1.0}}},
        {"data": {"auc": "0.5"}},
        {"data": {"auc": [0.5]}},
        {"data": {"auc": None}},
        {"data": {7: 0.5}},
        {"data": {"bias": 0.5}, "data_kind": DataKind.WEIGHTS},
    ],
    ids=str,
)
def test_a_validation_with_more_than_numbers_is_refused(tmp_path, fields):
    result = validated(Federation(tmp_path, 3, secure=False), **fields)
    assert result.get_return_code() == ReturnCode.TASK_RESULT_FILTER_ERROR
    assert not {"DXO", "model"} & set(result)


def test_what_was_added_to_a_sealed_result_goes(tmp_path):
    """By a filter between two of ours: NVFLARE applies a site's own first, and the job's after them."""

    class Adds(SecAggResultFilter):
        def process(self, shareable, fl_ctx):
            shareable["model"] = MODEL["bias"]
            return shareable

    federation, held = held_at(tmp_path, "masked")
    scope = scope_of(SecAggTaskFilter(), SecAggResultFilter(), Adds(), SecAggResultFilter())
    result = federation.sites["site-1"].do("train", held["site-1"], scope=scope)
    assert result.get_return_code() == ReturnCode.OK
    assert set(result) == {"__headers__", envelope.KEY}


def test_a_task_of_our_name_is_no_way_out(tmp_path):
    """A job that names its training task like ours, at a site that insists."""
    federation = Federation(tmp_path, 3, secure=False)
    scope = scope_of(SecAggTaskFilter(), SecAggResultFilter())
    result = federation.sites["site-1"].do(envelope.TASK, plain_task(), scope=scope)
    assert result.get_return_code() == ReturnCode.TASK_RESULT_FILTER_ERROR
    assert set(result) == {"__headers__"}


def test_a_sites_own_filters_and_the_jobs_get_along(tmp_path):
    federation = Federation(tmp_path, 3)
    scope = scope_of(SecAggTaskFilter(), SecAggResultFilter())
    for site in federation.sites.values():
        site.do = lambda name, data, task_id, do=site.do: do(name, data, task_id, scope)
    controller = federation.secure()
    assert controller.outcomes[0].contributors == set(federation.names)


def test_filters_before_ours_see_the_plain_update(tmp_path):
    """Differential privacy of NVFLARE's, say: here all parameters are halved."""

    class Halved(SecAggResultFilter):
        def process(self, shareable, fl_ctx):
            for name, array in shareable["DXO"]["data"].items():
                shareable["DXO"]["data"][name] = (MODEL[name] + array) / 2
            return shareable

    federation = Federation(tmp_path, 3, filters=[Halved()])
    controller = federation.secure()
    wanted = {name: MODEL[name] + mean_move(federation.names, 0)[name] / 2 for name in MODEL}
    close(federation.models[0], wanted, controller.outcomes[0].error_bound)


@pytest.mark.parametrize("record", [SavedRound(b"KEY" * 11, b"{}", 3, b"STATE"), SavedKeys(b"KEY" * 11, b"STATE")])
def test_state_between_processes_is_for_its_owner_and_goes(tmp_path, record):
    memory, kind = RunFolder(tmp_path, lambda: tmp_path / LEDGER), type(record)
    memory.store(record)
    (path,) = tmp_path.iterdir()
    assert path.name == FILES[kind.NAME]
    assert path.stat().st_mode & 0o077 == 0
    assert memory.load(kind) == record
    memory.forget(kind)
    assert memory.load(kind) is None
    path.write_bytes(b"\x80")
    with pytest.raises(StateError, match="no memory"):
        memory.load(kind)


def test_no_state_is_written_in_a_deployment(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.secure(2)
    assert [path.name for site in federation.names for path in (tmp_path / site / JOB).iterdir()] == []


def test_a_site_without_a_file_takes_the_defaults(tmp_path):
    limits = Site(tmp_path, "site-1").limits()
    assert limits.policy.min_cohort == 3
    assert limits.credentials is None
    assert limits.schemes.protocols == {"secagg", "secagg+"}


@pytest.mark.parametrize("scheme", ["paillier", "ckks"])
def test_a_server_that_has_to_be_trusted_with_more_is_the_sites_to_name(tmp_path, caplog, scheme):
    federation, held = held_at(tmp_path, "keys" if scheme == "ckks" else "deal", scheme=scheme)
    site, data = next(iter(held.items()))
    assert "this client allows ['secagg', 'secagg+']" in refusal(federation, data, caplog, site)[1]


@given(st.binary(max_size=120))
def test_any_bytes_are_an_entry_or_refused(data):
    shareable = Shareable()
    shareable[envelope.KEY] = data
    for kind in (envelope.Ask, envelope.Reply):
        try:
            assert isinstance(envelope.read(shareable, kind), kind)
        except (WireError, ConfigError):
            continue


@pytest.mark.parametrize("value", [None, 7, "text", ["list"]])
def test_an_entry_of_another_type_is_refused(value):
    with pytest.raises(WireError, match="without the entry"):
        envelope.read(Shareable({envelope.KEY: value}), envelope.Ask)


def test_the_context_tells_everything_apart():
    def content(**changes):
        dxo = DXO(changes.pop("kind", DataKind.WEIGHTS), data={"w": np.arange(4.0), **changes.pop("data", {})}, meta={})
        dxo.meta.update(changes.pop("meta", {}))
        shareable = dxo.to_shareable()
        shareable.set_header("current_round", changes.pop("round", 0))
        return shareable

    one = content()
    digests = [
        model.content_digest(JOB, "train", one),
        model.content_digest("another", "train", one),
        model.content_digest(JOB, "other", one),
        model.content_digest(JOB, "train", content(kind=DataKind.WEIGHT_DIFF)),
        model.content_digest(JOB, "train", content(round=1)),
        model.content_digest(JOB, "train", content(data={"w": np.arange(4)})),
        model.content_digest(JOB, "train", content(data={"w": np.arange(4.0).reshape(2, 2)})),
        model.content_digest(JOB, "train", content(data={"v": np.arange(4.0)})),
        model.content_digest(JOB, "train", content(meta={"a": {"b": [1, 2.5, None]}})),
        model.content_digest(JOB, "train", content(meta={"a": {"b": [1, 2.5]}})),
    ]
    assert len(set(digests)) == len(digests)
    assert model.content_digest(JOB, "train", content(meta={"a": (1, 2)})) == model.content_digest(
        JOB, "train", content(meta={"a": [1, np.int64(2)]})
    )


def test_what_has_no_bytes_of_its_own_cannot_be_bound():
    shareable = DXO(DataKind.WEIGHTS, data={"w": np.zeros(1)}, meta={"f": object()}).to_shareable()
    with pytest.raises(ConfigError, match="object beside the model"):
        model.content_digest(JOB, "train", shareable)


@pytest.mark.parametrize("found", [None, "2.8.1", "2.10.0", "2.9", "3.9.0", "dev"])
def test_another_nvflare_is_a_clear_error(found):
    if found == "2.9":
        assert check_nvflare(found) == found
        return
    with pytest.raises(ConfigError, match=r"expected (nvflare )?2\.9"):
        check_nvflare(found)


def test_this_nvflare():
    assert check_nvflare(NVFLARE) == NVFLARE

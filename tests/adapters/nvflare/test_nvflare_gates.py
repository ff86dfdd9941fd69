"""What a server sends to a site passes gates before anything of the job's own: tasks by our names alone, once each, and
no event that is called like a step of NVFLARE's run.
"""

import json

import msgspec
import numpy as np
import pytest
from flare_federation import Federation, move_of
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import EventScope, ReturnCode
from nvflare.apis.shareable import make_copy
from nvflare.app_common.np.recipes import NumpyFedAvgRecipe
from test_nvflare_site import active, held_at, plain_task

from secagg.adapters.nvflare import envelope, secure_aggregation
from secagg.adapters.nvflare.gate import OWN_EVENTS
from secagg.errors import ConfigError
from secagg.wire import frame


def started(tmp_path, identified=True):
    federation = Federation(tmp_path, 4)
    if identified:
        active(federation, tmp_path)
    for site in federation.sites.values():
        site.start()
    return federation.sites["site-1"]


@pytest.mark.parametrize("name", ["Train", "x", "train ", ""])
def test_a_task_of_another_name_reaches_no_executor(tmp_path, name):
    """A job's script takes tasks of every name, and filters of ours stand on three: a model would leave in clear."""
    site = started(tmp_path)
    assert site.do(name, plain_task()).get_return_code() == ReturnCode.TASK_UNKNOWN
    assert site.trainer.seen == []


def test_without_an_identity_it_gives_the_update_in_clear(tmp_path):
    """There the server is trusted; a site's own `privacy.json` closes it all the same."""
    site, sent = started(tmp_path, identified=False), plain_task()
    found, model = from_shareable(site.do("Train", sent)).data, from_shareable(sent).data
    for name, array in found.items():
        np.testing.assert_allclose(np.asarray(array, float) - model[name], move_of("site-1", 0, array.shape), atol=1e-5)


def test_a_recipes_executor_takes_no_task_without_our_filters(tmp_path, monkeypatch):
    """Before a site's run has begun its gate is not there yet, and NVFLARE takes tasks that are pushed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "client.py").write_text("import nvflare.client as flare\n")
    recipe = NumpyFedAvgRecipe(name="x", model=np.zeros(3), min_clients=3, num_rounds=2, train_script="client.py")
    secure_aggregation(recipe, weight_max=500)
    recipe.export(str(tmp_path / "job"))
    (config,) = (tmp_path / "job").rglob("config_fed_client.json")
    found = json.loads(config.read_text())
    taken = {task for each in found["executors"] for task in each["tasks"]} - {envelope.TASK}
    assert taken == {task for each in found["task_result_filters"] for task in each["tasks"]}
    assert "*" not in taken


@pytest.mark.parametrize(
    "file", [{"min_cohort": "x"}, {"identity": {"key": "me.pem", "passphrase": "gone", "roster": "roster.json"}}]
)
def test_a_site_whose_file_is_wrong_keeps_its_gates_closed(tmp_path, file):
    """NVFLARE goes on with the run, whatever a component raises at its start."""
    federation = Federation(tmp_path, 4)
    active(federation, tmp_path, **file)
    site = federation.sites["site-1"]
    with pytest.raises(ConfigError):
        site.start()
    for name in ("Train", "train", "validate", "secagg"):
        assert site.do(name, plain_task()).get_return_code() == ReturnCode.TASK_UNKNOWN
    assert site.trainer.seen == []


class Recorder(FLComponent):
    """A component of the job's own, such as NVFLARE's script executor."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def handle_event(self, event_type, fl_ctx):
        self.heard.append(event_type)


@pytest.mark.parametrize("identified", [True, False])
def test_components_hear_no_event_of_the_servers_that_is_called_like_nvflares_own(tmp_path, identified):
    """START_RUN in the midst of training makes NVFLARE's executor train twice, and the second result is the next
    round's. Without an identity all are heard.
    """
    site, recorder = started(tmp_path, identified), Recorder()
    site.engine.handlers.append(recorder)
    for event in sorted(OWN_EVENTS):
        site.fire(event, EventScope.FEDERATION)
    assert recorder.heard == ([] if identified else sorted(OWN_EVENTS))
    site.fire("mine", EventScope.FEDERATION)
    site.fire(EventType.BEFORE_TASK_EXECUTION)
    assert recorder.heard[-2:] == ["mine", EventType.BEFORE_TASK_EXECUTION]


def with_frame(task, data):
    changed = make_copy(task)
    envelope.put(changed, msgspec.structs.replace(envelope.read(task, envelope.Ask), frame=data))
    return changed


def of_another(task, **how):
    """The same ask, but for what its frame's header says."""
    found = frame.unwrap(envelope.read(task, envelope.Ask).frame)
    header = {"phase": found.phase, "party": found.party, "tag": found.tag, "body": found.body} | how
    return frame.wrap(frame.ASK, header["phase"], header["party"], header["tag"], frame.NO_ASK, bytes(header["body"]))


@pytest.mark.parametrize(
    "how",
    [None, {"party": 2}, {"tag": b"x" * 16}, {"phase": 1}, {"body": b"\x90"}],
    ids=["garbage", "another party's", "another session's", "another phase's", "malformed"],
)
def test_nobody_trains_for_an_ask_that_cannot_be_answered(tmp_path, how):
    federation, held = held_at(tmp_path, "masked")
    site, task = federation.sites["site-1"], held["site-1"]
    before = len(site.trainer.seen)
    bad = with_frame(task, b"garbage" if how is None else of_another(task, **how))
    assert [site.do("train", make_copy(bad)).get_return_code() for _ in range(3)] == [
        ReturnCode.TASK_DATA_FILTER_ERROR
    ] * 3
    assert len(site.trainer.seen) == before


def test_nobody_trains_twice_for_one_ask(tmp_path):
    federation, held = held_at(tmp_path, "masked")
    site, task = federation.sites["site-1"], held["site-1"]
    before = len(site.trainer.seen)
    codes = [site.do("train", make_copy(task)).get_return_code() for _ in range(3)]
    assert codes == [ReturnCode.OK, ReturnCode.TASK_DATA_FILTER_ERROR, ReturnCode.TASK_DATA_FILTER_ERROR]
    assert len(site.trainer.seen) == before + 1

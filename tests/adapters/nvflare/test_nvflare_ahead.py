"""Keys of a round ride on the last result of the round before: a steady round takes two tasks more than plain FedAvg.

Whoever has none ready is left to the next round and asked meanwhile, or first where too many are.
"""

import json

import msgspec
import numpy as np
import pytest
from flare_federation import JOB, MODEL, WEIGHT_MAX, Federation, close, mean_move, through_the_wire
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.app_common.workflows.fedavg import FedAvg
from test_nvflare_site import ACTIVE, active, answer

from secagg.adapters.nvflare import SecureFedAvg, envelope, memory
from secagg.api import Prepared
from secagg.errors import ConfigError, WireError
from secagg.federation.memory import SavedKeys, SavedRound
from secagg.federation.messages import PREPARE, Ahead, Ask, Invitation
from secagg.federation.round import MAX_PREPARED
from secagg_protocols import PairwiseMasking

FIRST, STEADY = ["keys", "shares", "masked", "unmask"], ["shares", "masked", "unmask"]


def at_round(federation, lose, how="silent"):
    """Sites are lost by (site's number, round, phase); rounds count from 0."""
    federation.lose = lambda site, phase: (
        how if lose(int(site.removeprefix("site-")), len(federation.models), phase) else None
    )


def check(federation, controller, cohorts):
    """The model after all rounds is that of plain FedAvg over each round's cohort, given by sites' numbers."""
    assert federation.fatal == []
    wanted, slack = dict(MODEL), dict.fromkeys(MODEL, 0.0)
    for number, cohort in enumerate(cohorts):
        outcome, names = controller.outcomes[number], [f"site-{place}" for place in cohort]
        assert outcome.failure is None
        assert outcome.contributors == set(names)
        for name, move in mean_move(names, number).items():
            wanted[name] = wanted[name] + move
            slack[name] += outcome.error_bound[name]
    close(federation.models[len(cohorts) - 1], wanted, slack, len(cohorts))


def tasks_of(federation, number):
    """[(phase, how many sites)] of one round, requests to prepare included."""
    counted = [("", 0)]
    for phase, _, _ in federation.wire.tasks:
        counted = [*counted, (phase, 1)] if phase != counted[-1][0] else [*counted[:-1], (phase, counted[-1][1] + 1)]
    ends = [0, *(place for place, (phase, _) in enumerate(counted) if phase == "unmask")]
    return counted[ends[number] + 1 : ends[number + 1] + 1]


def test_a_steady_round_takes_exactly_two_tasks_more_than_plain_fedavg(tmp_path):
    secure, plain = Federation(tmp_path / "secure", 4), Federation(tmp_path / "plain", 4, secure=False)
    controller = secure.secure(6)
    plain.run(6, kind=FedAvg)
    check(secure, controller, [range(1, 5)] * 6)
    assert secure.trips == [*FIRST, *(STEADY * 5)]
    assert len(secure.wire.tasks) - len(plain.wire.tasks) == 4 * (3 + 2 * 5)


def test_only_the_last_result_of_a_round_holds_keys_for_the_next_if_there_is_one(tmp_path):
    federation = Federation(tmp_path, 3)
    federation.secure(3)
    assert federation.trips == [*FIRST, *(STEADY * 2)]
    for result, place in zip(federation.wire.results, range(30), strict=True):
        reply = envelope.read(result, envelope.Reply)
        assert (reply.prepared is not None) == (reply.phase == "unmask" and place < 27)


@pytest.mark.parametrize("start_round", [0, 7])
def test_after_the_last_round_no_site_holds_keys(tmp_path, start_round):
    """The last tasks name no next round, and nobody is left to one: that round waits for the keys of all."""
    federation = Federation(tmp_path, 5)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (3, 1, "unmask"))
    controller = federation.secure(3, start_round=start_round)
    assert federation.trips == [*FIRST, *STEADY, *FIRST]
    assert tasks_of(federation, 2) == [("keys", 1), *((phase, 5) for phase in STEADY)]
    assert controller.outcomes[start_round + 2].contributors == set(federation.names)
    assert PREPARE not in {phase for phase, _, _ in federation.wire.tasks}
    assert [site.executor._client._prepared for site in federation.sites.values()] == [None] * 5


def test_a_controller_that_names_no_last_round_asks_for_keys_in_each(tmp_path):
    class Endless(SecureFedAvg):
        def send_model(self, *args, data, **how):
            data.total_rounds = None
            super().send_model(*args, data=data, **how)

    federation = Federation(tmp_path, 3)
    federation.secure(2, kind=Endless)
    assert federation.trips == [*FIRST, *STEADY]
    assert all(site.executor._client._prepared is not None for site in federation.sites.values())


def test_who_could_not_be_reached_for_its_keys_is_left_to_the_next_round(tmp_path):
    federation = Federation(tmp_path, 5)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (3, 0, "unmask"))
    controller = federation.secure(4)
    check(federation, controller, [range(1, 6), [1, 2, 4, 5], range(1, 6), range(1, 6)])
    assert controller.outcomes[1].left_out == {"site-3"}
    assert controller.outcomes[1].lost == {}
    assert [outcome.left_out for number, outcome in controller.outcomes.items() if number != 1] == [frozenset()] * 3
    assert tasks_of(federation, 1) == [(PREPARE, 1), ("shares", 4), ("masked", 4), ("unmask", 4)]
    assert tasks_of(federation, 2) == [("shares", 5), ("masked", 5), ("unmask", 5)]


def test_a_site_that_was_lost_in_training_returns_a_round_later(tmp_path):
    federation = Federation(tmp_path, 4)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (2, 0, "masked"))
    controller = federation.secure(3, options={"threshold": 3})
    check(federation, controller, [[1, 3, 4], [1, 3, 4], range(1, 5)])
    assert controller.outcomes[0].lost == {"site-2": "masked"}
    assert controller.outcomes[1].left_out == {"site-2"}
    assert federation.trips == [*FIRST, *(STEADY * 2)]


def test_a_site_that_joins_sends_its_keys_on_a_task_of_its_own(tmp_path):
    federation = Federation(tmp_path, 5)

    class Joined(SecureFedAvg):
        def sample_clients(self, num_clients=None):
            return federation.names[: 5 if self.current_round else 4]

    controller = federation.run(3, kind=Joined, weight_max=WEIGHT_MAX, clip=0.5)
    check(federation, controller, [range(1, 5), range(1, 5), range(1, 6)])
    assert controller.outcomes[1].left_out == {"site-5"}
    assert federation.trips == [*FIRST, *(STEADY * 2)]


def test_nobody_waits_for_a_site_that_does_not_fetch_its_request(tmp_path):
    """It would stand for ever; FedAvg itself goes on only once no task stands."""
    federation = Federation(tmp_path, 5)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (2, 0, "unmask"))
    lost = federation.lose
    federation.lose = lambda site, phase: "standing" if phase == PREPARE else lost(site, phase)
    controller = federation.secure(5)
    check(federation, controller, [range(1, 6), *([[1, 3, 4, 5]] * 3), range(1, 6)])
    assert [task.completion_status.value for task in federation.wire.standing] == ["cancelled"] * 3


@pytest.mark.parametrize("how", ["error", "late", "damaged"])
def test_keys_that_do_not_come_leave_their_site_out_again(tmp_path, how):
    federation = Federation(tmp_path, 5)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (2, 0, "unmask"))
    lost = federation.lose
    federation.lose = lambda site, phase: how if phase == PREPARE else lost(site, phase)
    controller = federation.secure(4)
    check(federation, controller, [range(1, 6), [1, 3, 4, 5], [1, 3, 4, 5], range(1, 6)])
    assert controller.outcomes[2].left_out == {"site-2"}


@pytest.mark.parametrize(
    "how", [{}, {"max_late": 0}, {"max_late": 0.19}, {"min_cohort": 5}], ids=["two", "none", "share", "cohort"]
)
def test_when_the_round_waits_for_keys(tmp_path, how):
    sites = [2] if how else [2, 3]
    federation = Federation(tmp_path, 5)
    at_round(federation, lambda site, number, phase: site in sites and (number, phase) == (0, "unmask"))
    controller = federation.secure(3, options={"threshold": 3}, **how)
    check(federation, controller, [range(1, 6)] * 3)
    assert tasks_of(federation, 1) == [("keys", len(sites)), ("shares", 5), ("masked", 5), ("unmask", 5)]
    assert tasks_of(federation, 2) == [("shares", 5), ("masked", 5), ("unmask", 5)]


def test_a_threshold_that_the_rest_cannot_meet_waits_too(tmp_path):
    federation = Federation(tmp_path, 5)
    do, lost = federation.sites["site-2"].do, []

    def without_keys(*args):
        result = do(*args)
        reply = envelope.read(result, envelope.Reply)
        if reply.prepared is not None and not lost:
            lost.append(reply)
            result = envelope.put(result, msgspec.structs.replace(reply, prepared=None))
        return result

    federation.sites["site-2"].do = without_keys
    controller = federation.secure(3, options={"threshold": 5})
    check(federation, controller, [range(1, 6)] * 3)
    assert tasks_of(federation, 1)[0] == ("keys", 1)


def test_a_controller_that_starts_again_asks_all_for_keys(tmp_path):
    """What the sites hold ready is of another run: they make new keys, and forget those."""
    federation = Federation(tmp_path, 4)
    at_round(federation, lambda site, number, phase: number > 1)
    federation.secure(3)
    assert all(site.executor._client._prepared is not None for site in federation.sites.values())
    federation.lose = lambda site, phase: None
    federation.models.clear()
    check(federation, federation.secure(2), [range(1, 5)] * 2)
    assert federation.trips == [*FIRST, *STEADY]
    assert all(site.executor._client._prepared is None for site in federation.sites.values())


def test_a_site_whose_process_died_between_two_rounds_is_lost_once(tmp_path):
    federation = Federation(tmp_path, 5)
    restarts = iter(["site-4"])

    def lose(site, phase):
        if len(federation.models) == 1 and phase == "shares":
            for name in restarts:
                federation.sites[name].start()

    federation.lose = lose
    controller = federation.secure(4)
    check(federation, controller, [range(1, 6), [1, 2, 3, 5], [1, 2, 3, 5], range(1, 6)])
    assert controller.outcomes[1].lost == {"site-4": "shares"}
    assert controller.outcomes[2].left_out == {"site-4"}
    assert federation.trips == [*FIRST, *(STEADY * 3)]


@pytest.mark.parametrize(
    ("data", "why"), [(b"garbage", "shorter than its header"), (bytes(MAX_PREPARED), "wrong magic")]
)
def test_a_bad_one_costs_its_site_the_round(tmp_path, data, why):
    federation = Federation(tmp_path, 5)
    sends_ahead(federation.sites["site-2"], data)
    controller = federation.secure(4)
    check(federation, controller, [range(1, 6), *([[1, 3, 4, 5]] * 3)])
    assert controller.outcomes[1].lost == {"site-2": "keys"}
    assert why in controller.outcomes[1].misbehaved["site-2"]
    assert controller.outcomes[2].left_out == {"site-2"}


def test_too_long_a_one_is_not_kept(tmp_path, caplog):
    federation = Federation(tmp_path, 5)
    sends_ahead(federation.sites["site-2"], bytes(MAX_PREPARED + 1))
    assert federation.secure(3).outcomes[1].left_out == {"site-2"}
    assert f"prepared {MAX_PREPARED + 1} bytes, expected keys" in caplog.text


def sends_ahead(site, data):
    do = site.do

    def lying(*args):
        result = do(*args)
        reply = envelope.read(result, envelope.Reply)
        return result if reply.prepared is None else envelope.put(result, msgspec.structs.replace(reply, prepared=data))

    site.do = lying


def test_a_round_that_failed_is_not_repeated_under_its_number(tmp_path):
    federation = Federation(tmp_path, 4)
    at_round(federation, lambda site, number, phase: site > 2 and (number, phase) == (1, "masked"))
    controller = federation.secure(4)
    assert [number for number, outcome in controller.outcomes.items() if outcome.failure] == [1]
    assert federation.trips == [*FIRST, "shares", "masked", *FIRST, *STEADY]


def test_secagg_plus_whose_options_depend_on_the_cohort(tmp_path):
    federation = Federation(tmp_path, 9)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (3, 0, "unmask"))
    controller = federation.secure(3, scheme="secagg+")
    check(federation, controller, [range(1, 10), [1, 2, *range(4, 10)], range(1, 10)])
    assert federation.trips == [*FIRST, *(STEADY * 2)]


def test_an_active_site_enters_no_round_twice(tmp_path, caplog):
    """Its keys are put back to before the round, and the first ask comes again: it deals no second shares."""
    federation = Federation(tmp_path, 4)
    active(federation, tmp_path)
    client, seen = federation.sites["site-1"].executor._client, {}

    def lose(site, phase):
        if (site, phase, len(federation.models)) == ("site-1", "shares", 1):
            seen["prepared"] = client._prepared.save(bytes(32))

    federation.lose = lose
    federation.secure(2, **ACTIVE)
    first = [data for phase, site, data in federation.wire.tasks if (phase, site) == ("shares", "site-1")]
    client._prepared = Prepared.restore(seen["prepared"], bytes(32))
    assert answer(federation, "site-1", first[1]).get_return_code() != ReturnCode.OK
    assert "round 1 of a run in which this party has entered round 1" in caplog.text


def test_where_processes_end_between_two_tasks_keys_lie_in_the_run_folder_until_they_serve(tmp_path):
    federation = Federation(tmp_path, 4, swapping=True)
    at_round(federation, lambda site, number, phase: (site, number, phase) == (2, 0, "unmask"))
    files = []
    do = federation.sites["site-1"].do

    def watched(*args):
        result = do(*args)
        files.append(sorted(path.name for path in (tmp_path / "site-1" / JOB).iterdir()))
        return result

    federation.sites["site-1"].do = watched
    check(federation, federation.secure(3, options={"threshold": 3}), [range(1, 5), [1, 3, 4], range(1, 5)])
    busy, ready = [memory.FILES[SavedRound.NAME]], [memory.FILES[SavedKeys.NAME]]
    assert files == [busy, busy, busy, ready, busy, busy, ready, busy, busy, []]
    for site in federation.sites.values():
        site.fire(EventType.END_RUN)
    assert not list(tmp_path.glob(f"*/{JOB}/secagg.*"))


def test_nothing_prepared_is_written_in_a_deployment_and_all_is_forgotten_with_the_job(tmp_path):
    federation = Federation(tmp_path, 3)
    at_round(federation, lambda site, number, phase: number > 0)
    federation.secure(2)
    site = federation.sites["site-1"]
    assert list((tmp_path / "site-1" / JOB).iterdir()) == []
    assert site.executor._client._prepared is not None
    site.fire(EventType.END_RUN)
    assert site.executor._client._prepared is None


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share(share):
    with pytest.raises(ConfigError, match="max_late is"):
        SecureFedAvg(weight_max=5, max_late=share)


def request(**changes):
    """A request to prepare, as a server sends it."""
    terms = Invitation("secagg", "{}", PairwiseMasking().fingerprint, "steps", bytes(32)).to_bytes()
    fields = {"terms": terms, "session": None, "ahead": Ahead("00" * 16, 7, 3), **changes}
    return envelope.put(Shareable(), Ask(PREPARE, b"", **fields))


def test_a_site_prepares_only_what_it_would_take_part_in(tmp_path, caplog):
    federation = Federation(tmp_path, 3)
    result = answer(federation, "site-1", request())
    reply = envelope.read(result, envelope.Reply)
    assert reply.frame is None
    assert reply.prepared is not None
    (tmp_path / "site-2" / "local" / "secagg.json").write_text(json.dumps({"protocols": ["secagg+"]}))
    assert answer(federation, "site-2", request()).get_return_code() != ReturnCode.OK
    assert "this client allows ['secagg+']" in caplog.text
    assert federation.sites["site-2"].executor._client._prepared is None
    assert answer(federation, "site-1", request(ahead=None)).get_return_code() != ReturnCode.OK
    assert "a request to prepare a round that it does not name" in caplog.text


def test_a_request_is_no_way_out_of_a_training_task(tmp_path):
    federation = Federation(tmp_path, 3)
    result = answer(federation, "site-1", request(), name="train")
    assert result.get_return_code() == ReturnCode.TASK_DATA_FILTER_ERROR
    assert federation.sites["site-1"].trainer.seen == []


@given(st.binary(max_size=40), st.integers(-2, 2**70), st.integers(-2, 2**30))
def test_a_round_that_cannot_be_is_refused(run, number, parties):
    text = run.hex()
    body = {"version": envelope.VERSION, "phase": PREPARE, "frame": b""}
    body["ahead"] = {"run": text, "round": min(number, 2**64 - 1), "parties": parties}
    shareable = through_the_wire(Shareable({envelope.KEY: msgspec.msgpack.encode(body)}))
    try:
        ahead = envelope.read(shareable, envelope.Ask).ahead
    except WireError:
        return
    assert len(bytes.fromhex(ahead.run)) == 16
    assert 0 <= ahead.round < 2**63
    assert 2 <= ahead.parties <= 2**20


@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.nightly)])
def test_losses_in_a_steady_round(tmp_path, count):
    for place, pattern in enumerate(np.random.default_rng(count).integers(0, 4, (count, 5)).tolist()):
        steady_round_with(tmp_path / str(place), pattern)


def steady_round_with(folder, pattern):
    """A site is lost at one of the three tasks, or at none."""
    federation = Federation(folder, 5)
    at_round(
        federation,
        lambda site, number, phase: (
            number == 1 and pattern[site - 1] < 3 and STEADY.index(phase) >= pattern[site - 1]
            if phase in STEADY
            else False
        ),
    )
    controller = federation.secure(2, options={"threshold": 3})
    if pattern.count(3) < 3:
        assert controller.outcomes[1].failure is not None
        assert all((federation.models[1][name] == federation.models[0][name]).all() for name in MODEL)
        return
    check(federation, controller, [range(1, 6), [site for site in range(1, 6) if pattern[site - 1] >= 2]])
    lost = {f"site-{site}": STEADY[at] for site, at in enumerate(pattern, 1) if at < 3}
    assert controller.outcomes[1].lost == lost

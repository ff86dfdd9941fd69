"""Keys of a round ride on the last reply of the round before: a steady round takes two trips more than plain FedAvg.

Whoever has none ready is left to the next round, or is asked on a trip of its own where too many are.
"""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from federation import MODEL, WEIGHTS, arrays_of, client_app, examples_of, grid_of, identify, model_record
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import strategy as flower
from test_flower_strategy import WEIGHT_MAX, close, fedavg, mean_step

from secagg import Credentials
from secagg.adapters.flower import SecAggMod, SecureAggregation, envelope
from secagg.errors import OutOfRange
from secagg.federation.memory import SavedKeys
from secagg.federation.messages import PREPARE, Ahead, Ask, Invitation, Reply
from secagg.federation.round import MAX_PREPARED
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

ROOT = Path(__file__).parents[3]
FIRST, STEADY = ("keys", "shares", "masked", "unmask"), ("shares", "masked", "unmask")


def secure(inner=None, **how):
    return SecureAggregation(inner or fedavg(), **{"weight_max": WEIGHT_MAX, **how})


def at_round(grid, lose):
    """The grid loses by (node's place, number of the round, phase)."""
    nodes = list(grid.apps)
    grid.lose = lambda node, phase: "silent" if lose(nodes.index(node), current(grid), phase) else None


def current(grid):
    """Number of the round that the last trip belongs to, while none has failed: an "unmask" ends one."""
    before = [phase for phase, _ in grid.trips[:-1]]
    return 1 + before.count("unmask")


def run(grid, rounds, **how):
    strategy = secure(**how)
    result = strategy.start(grid, model_record(), num_rounds=rounds)
    return strategy, arrays_of(result.arrays)


def check(strategy, found, cohorts, grid):
    """The model after all rounds is that of plain FedAvg over each round's cohort, given by places."""
    nodes = list(grid.apps)
    wanted, slack = {name: array.astype(np.float64) for name, array in MODEL.items()}, dict.fromkeys(MODEL, 0.0)
    for server_round, cohort in enumerate(cohorts, 1):
        outcome = strategy.outcomes[server_round]
        assert outcome.failure is None
        assert outcome.contributors == {str(nodes[place]) for place in cohort}
        for name, step in mean_step([nodes[place] for place in cohort], server_round).items():
            wanted[name] = wanted[name] + step
            slack[name] += outcome.error_bound[name]
    close(found, wanted, slack, roundings=len(cohorts))


def names_of(grid, *places):
    nodes = list(grid.apps)
    return {str(nodes[place]) for place in places}


def test_a_steady_round_takes_exactly_two_trips_more_than_plain_fedavg():
    grid, plain = grid_of(4), grid_of(4, mods=())
    strategy, found = run(grid, 6)
    fedavg().start(plain, model_record(), num_rounds=6)
    check(strategy, found, [range(4)] * 6, grid)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 5)]
    assert len(grid.trips) - len(plain.trips) == 3 + 2 * 5
    assert all(number == 4 for _, number in grid.trips)


def test_only_the_last_reply_of_a_round_holds_keys_for_the_next_if_there_is_one():
    grid = grid_of(3)
    run(grid, 3)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 2)]
    for reply, place in zip(grid.replies, range(30), strict=True):
        last = reply.content["secagg"]["phase"] == "unmask" and place < 27
        assert set(reply.content["secagg.frames"]) == ({"reply", "prepared"} if last else {"reply"})


def test_after_the_last_round_no_node_holds_keys():
    """The last asks name no next round, and nobody is left to one: that round waits for the keys of all."""
    grid = grid_of(5)
    at_round(grid, lambda place, number, phase: (place, number, phase) == (2, 2, "unmask"))
    strategy, found = run(grid, 3)
    check(strategy, found, [range(5)] * 3, grid)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *STEADY, *FIRST]
    assert grid.trips[7:] == [("keys", 1), *((phase, 5) for phase in STEADY)]
    assert grid.pushed == []
    assert [set(state) for state in grid.states.values()] == [{"calls"}] * 5


def test_where_a_strategy_around_this_one_starts_the_last_round_is_not_known():
    grid, inner = grid_of(3), secure()

    class Around(flower.FedAvg):
        def configure_train(self, *args):
            return inner.configure_train(*args)

        def aggregate_train(self, *args):
            return inner.aggregate_train(*args)

    Around(fraction_evaluate=0.0).start(grid, model_record(), num_rounds=2)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *STEADY]
    assert all("secagg.prepared" in state for state in grid.states.values())


def test_prepared_secrets_are_encrypted_in_the_context_and_gone_once_used():
    grid = grid_of(3)
    node = next(iter(grid.apps))
    seen, kept = [], []
    deliver = grid._deliver

    def watched(message):
        phase = message.content["secagg"]["phase"]
        reply = deliver(message)
        if message.metadata.dst_node_id == node:
            if "secagg.prepared" in grid.states[node]:
                kept.append(grid.states[node]["secagg.prepared"])
            seen.append((phase, "secagg" in grid.states[node], "secagg.prepared" in grid.states[node]))
        return reply

    grid._deliver = watched
    run(grid, 2)
    ready, busy, over = (False, True), (True, False), (False, False)
    assert seen == [
        *[(phase, *busy) for phase in FIRST[:3]],
        ("unmask", *ready),
        *[(phase, *busy) for phase in STEADY[:2]],
        ("unmask", *over),
    ]
    (record,) = kept
    assert set(record) == {"key", "record"}
    state = msgspec.msgpack.decode(record["record"], type=SavedKeys).state
    for message in grid.sent + grid.replies:
        arrays = [a.data for r in message.content.array_records.values() for a in r.values()]
        assert not any(record["key"] in data or state in data for data in arrays)


def test_who_could_not_be_reached_for_its_keys_is_left_to_the_next_round():
    grid = grid_of(5)
    at_round(grid, lambda place, number, phase: (place, number, phase) == (2, 1, "unmask"))
    strategy, found = run(grid, 4)
    check(strategy, found, [range(5), [0, 1, 3, 4], range(5), range(5)], grid)
    assert strategy.outcomes[2].left_out == names_of(grid, 2)
    assert strategy.outcomes[2].lost == {}
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 3)]
    assert grid.trips[4:7] == [("shares", 4), ("masked", 4), ("unmask", 4)]
    assert [str(message.metadata.dst_node_id) for message in grid.pushed] == [*names_of(grid, 2)]
    assert [o.left_out for n, o in strategy.outcomes.items() if n != 2] == [frozenset()] * 3


@pytest.mark.parametrize("how", ["silent", "error"])
def test_nobody_waits_for_who_does_not_answer_a_request(how):
    """It is no part of a trip: the grid is asked once, at the round's end, what has come."""
    grid = grid_of(5)
    node, pull, pulled = list(grid.apps)[2], grid.pull_messages, []
    grid.lose = lambda other, phase: (
        how if other == node and (phase == PREPARE or (phase == "unmask" and len(grid.trips) == 4)) else None
    )
    grid.pull_messages = lambda numbers: (pulled.append(len(grid.trips)), pull(numbers))[1]
    strategy, found = run(grid, 5)
    check(strategy, found, [range(5), *([[0, 1, 3, 4]] * 3), range(5)], grid)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 3), *FIRST]
    assert pulled == [7, 10, 13]  # and in the last round nobody is asked ahead
    assert [strategy.outcomes[number].left_out for number in (3, 4)] == [names_of(grid, 2)] * 2


def test_a_node_that_joins_sends_its_keys_first():
    grid = grid_of(5)
    late = list(grid.apps)[4]
    current_round = {"n": 0}

    class Joined(flower.FedAvg):
        def configure_train(self, server_round, *args):
            current_round["n"] = server_round
            return super().configure_train(server_round, *args)

    grid.get_node_ids = lambda: list(grid.apps)[: 5 if current_round["n"] > 1 else 4]
    strategy, found = run(grid, 3, inner=Joined(fraction_evaluate=0.0))
    check(strategy, found, [range(4), range(4), range(5)], grid)
    assert strategy.outcomes[2].left_out == {str(late)}
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 2)]


def test_where_too_many_have_no_keys_they_alone_are_asked_on_a_trip_of_its_own():
    grid = grid_of(5)
    at_round(grid, lambda place, number, phase: place in (1, 2) and (number, phase) == (1, "unmask"))
    strategy, found = run(grid, 3, options={"threshold": 3})
    check(strategy, found, [range(5)] * 3, grid)
    assert grid.trips[4:8] == [("keys", 2), ("shares", 5), ("masked", 5), ("unmask", 5)]
    assert [phase for phase, _ in grid.trips[8:]] == [*STEADY]


@pytest.mark.parametrize(
    ("how", "inner"),
    [
        ({"max_late": 0}, {}),
        ({"max_late": 0.19}, {}),
        ({"min_cohort": 5}, {}),
        ({}, {"min_train_nodes": 5}),
        ({"scheme": PairwiseMasking(threshold=5)}, {}),
    ],
    ids=["none", "share", "cohort", "strategy", "threshold"],
)
def test_when_the_round_waits_for_the_keys_of_one(how, inner):
    client = {"scheme": how["scheme"]} if "scheme" in how else {}
    grid = grid_of(5, mods=(SecAggMod(**client),))
    at_round(grid, lambda place, number, phase: (place, number, phase) == (2, 1, "unmask"))
    if client:  # a threshold of all: what node 2 sends is needed, but may come without its keys
        grid.lose = lambda node, phase: None
        forget_prepared(grid, 2)
    strategy, found = run(grid, 3, inner=fedavg(**inner), **how)
    check(strategy, found, [range(5)] * 3, grid)
    assert grid.trips[4] == ("keys", 1)


def forget_prepared(grid, place):
    """The first message of keys that a node sends ahead is lost on its way."""
    node, deliver, lost = list(grid.apps)[place], grid._deliver, []

    def without(message):
        reply = deliver(message)
        if reply.metadata.src_node_id == node and "prepared" in reply.content["secagg.frames"] and not lost:
            lost.append(reply)
            frames = {"reply": reply.content["secagg.frames"]["reply"]}
            return Message(
                RecordDict({"secagg": reply.content["secagg"], "secagg.frames": ArrayRecord(frames)}),
                reply_to=message,
            )
        return reply

    grid._deliver = without


def test_a_threshold_that_the_rest_cannot_meet_waits_too():
    """The scheme for a cohort of four does not exist."""
    grid = grid_of(5, mods=(SecAggMod(scheme=PairwiseMasking(threshold=5)),))
    forget_prepared(grid, 4)
    strategy, found = run(grid, 3, scheme=PairwiseMasking(threshold=5))
    check(strategy, found, [range(5)] * 3, grid)
    assert grid.trips[4] == ("keys", 1)


def test_a_server_that_starts_again_asks_all_for_keys():
    """The nodes' prepared keys are of another run: they make new ones, and forget those."""
    grid = grid_of(4)
    at_round(grid, lambda place, number, phase: number > 2)
    run(grid, 3)
    assert all("secagg.prepared" in state for state in grid.states.values())
    grid.lose = lambda node, phase: None
    del grid.trips[:]
    strategy, found = run(grid, 2)
    check(strategy, found, [range(4)] * 2, grid)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *STEADY]
    assert not any("secagg.prepared" in state for state in grid.states.values())


def test_one_strategy_started_twice_has_two_runs():
    grid, strategy = grid_of(3), secure()
    for _ in range(2):
        strategy.start(grid, model_record(), num_rounds=2)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *STEADY] * 2
    assert all(outcome.failure is None for outcome in strategy.outcomes.values())


@pytest.mark.parametrize("forgets", ["all", "prepared", "damaged"])
def test_a_node_that_died_before_its_keys_were_stored_is_lost_once(forgets):
    """Its last reply had left, and its memory is what it was before, gone, or damaged."""
    grid = grid_of(5)
    victim, deliver = list(grid.apps)[3], grid._deliver

    def crashing(message):
        node, first = message.metadata.dst_node_id, current(grid) == 1
        before = grid.states[node]
        reply = deliver(message)
        if node == victim and first and message.content["secagg"]["phase"] == "unmask":
            if forgets == "all":
                grid.states[node] = before
            elif forgets == "prepared":
                del grid.states[node]["secagg.prepared"]
            else:
                record = grid.states[node]["secagg.prepared"]
                grid.states[node]["secagg.prepared"] = ConfigRecord({**record, "record": record["record"][:-1]})
        return reply

    grid._deliver = crashing
    strategy, found = run(grid, 4)
    check(strategy, found, [range(5), [0, 1, 2, 4], [0, 1, 2, 4], range(5)], grid)
    assert strategy.outcomes[2].lost == {str(victim): "shares"}
    assert strategy.outcomes[3].left_out == {str(victim)}
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 3)]


@pytest.mark.parametrize(
    ("data", "why"), [(b"garbage", "shorter than its header"), (bytes(MAX_PREPARED), "wrong magic")]
)
def test_a_bad_one_costs_its_node_the_round(data, why):
    grid = grid_of(5)
    liar = list(grid.apps)[1]
    sends_ahead(grid, liar, data)
    strategy, found = run(grid, 4)
    check(strategy, found, [range(5), *([[0, 2, 3, 4]] * 3)], grid)
    assert strategy.outcomes[2].lost == {str(liar): "keys"}
    assert why in strategy.outcomes[2].misbehaved[str(liar)]
    assert strategy.outcomes[3].left_out == {str(liar)}


def sends_ahead(grid, liar, data):
    deliver = grid._deliver

    def lying(message):
        reply = deliver(message)
        if reply.metadata.src_node_id == liar and "prepared" in reply.content["secagg.frames"]:
            reply.content["secagg.frames"]["prepared"] = envelope._array(data)
        return reply

    grid._deliver = lying


def test_too_long_a_one_is_not_kept(caplog):
    grid = grid_of(5)
    sends_ahead(grid, list(grid.apps)[1], bytes(MAX_PREPARED + 1))
    strategy, _ = run(grid, 3)
    assert strategy.outcomes[2].left_out == names_of(grid, 1)
    assert f"prepared {MAX_PREPARED + 1} bytes, expected keys" in caplog.text


def test_a_round_that_failed_is_not_repeated_under_its_number():
    """Lost at "masked", most of the nodes send no keys ahead; the round after begins with keys, and is another one."""
    grid = grid_of(4)
    at_round(grid, lambda place, number, phase: place > 1 and phase == "masked" and len(grid.trips) == 6)
    strategy, _ = run(grid, 4)
    assert [n for n, outcome in strategy.outcomes.items() if outcome.failure] == [2]
    assert [phase for phase, _ in grid.trips] == [*FIRST, "shares", "masked", *FIRST, *STEADY]


def test_a_protocol_that_cannot_prepare_takes_all_trips():
    class Plain(PairwiseMasking):
        prepares = False

    grid = grid_of(4, mods=(SecAggMod(scheme=Plain()),))
    strategy, found = run(grid, 3, scheme=Plain())
    check(strategy, found, [range(4)] * 3, grid)
    assert [phase for phase, _ in grid.trips] == [*(FIRST * 3)]
    assert all(set(reply.content["secagg.frames"]) == {"reply"} for reply in grid.replies)


def active(nodes):
    names = list(map(str, grid_of(nodes).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    mod = SecAggMod(credentials=lambda context: known[str(context.node_id)])
    how = {"options": {"adversary": "active"}, "roster": known[names[0]].roster}
    return grid_of(nodes, mods=(mod,), node_config=WEIGHTS), how


def test_active_mode():
    grid, how = active(5)
    at_round(grid, lambda place, number, phase: (place, number, phase) == (2, 1, "unmask"))
    strategy, found = run(grid, 3, **how)
    check(strategy, found, [range(5), [0, 1, 3, 4], range(5)], grid)
    whole = ("keys", "shares", "masked", "consistency", "unmask")
    assert [phase for phase, _ in grid.trips] == [*whole, *(whole[1:] * 2)]


def test_an_active_node_enters_no_round_twice():
    """Its memory is put back to before the round, and the first ask comes again: it deals no second shares."""
    grid, how = active(4)
    node = next(iter(grid.apps))
    kept, deliver = {}, grid._deliver

    def keeping(message):
        if message.metadata.dst_node_id == node and "session" in message.content["secagg.frames"]:
            kept["ask"], kept["prepared"] = message, grid.states[node].get("secagg.prepared")
        return deliver(message)

    grid._deliver = keeping
    run(grid, 2, **how)
    assert kept["prepared"] is not None
    grid.states[node]["secagg.prepared"] = kept["prepared"]
    reply = grid.ask(node, kept["ask"])
    assert "PolicyRefused: round 1 of a run in which this party has entered round 1" in reply.error.reason


def test_secagg_plus_whose_options_depend_on_the_cohort():
    grid = grid_of(9)
    at_round(grid, lambda place, number, phase: (place, number, phase) == (2, 1, "unmask"))
    strategy, found = run(grid, 3, scheme="secagg+")
    check(strategy, found, [range(9), [p for p in range(9) if p != 2], range(9)], grid)
    assert [phase for phase, _ in grid.trips] == [*FIRST, *(STEADY * 2)]


def test_samples_that_change_from_round_to_round():
    grid = grid_of(8)
    strategy, _ = run(grid, 6, inner=fedavg(fraction_train=0.5, min_train_nodes=4), options={"threshold": 3})
    assert all(outcome.failure is None for outcome in strategy.outcomes.values())
    assert [phase for phase, _ in grid.trips].count("shares") == 6


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share(share):
    with pytest.raises(OutOfRange, match="max_late is"):
        secure(max_late=share)


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.nightly)])
def test_losses_in_a_steady_round(count):
    for pattern in np.random.default_rng(count).integers(0, 4, (count, 5)).tolist():
        steady_round_with(pattern)


def steady_round_with(pattern):
    """A node is lost at one of the three trips, or at none."""
    grid = grid_of(5)
    at_round(
        grid,
        lambda place, number, phase: (
            number == 2 and pattern[place] < 3 and STEADY.index(phase) >= pattern[place] if phase in STEADY else False
        ),
    )
    strategy, _ = run(grid, 2, options={"threshold": 3})
    outcome, nodes = strategy.outcomes[2], list(grid.apps)
    survivors = [node for node, at in zip(nodes, pattern, strict=True) if at >= 2]
    if pattern.count(3) < 3:
        assert outcome.failure is not None
    else:
        assert outcome.contributors == set(map(str, survivors))
        assert outcome.weight == sum(map(examples_of, survivors))
        assert outcome.lost == {str(n): STEADY[at] for n, at in zip(nodes, pattern, strict=True) if at < 3}


def test_a_request_to_prepare_is_read_as_it_was_written():
    ahead = Ahead("00" * 16, 7, 3)
    for ask in (Ask(PREPARE, b"", b"terms", None, ahead), Ask("unmask", b"ask", None, None, ahead)):
        assert envelope.read_ask(envelope.ask_record(ask)) == ask
    reply = Reply("unmask", b"reply", b"keys")
    assert envelope.read_reply(envelope.reply_record(reply)) == reply


@pytest.mark.parametrize(
    "ahead",
    [
        b'{"run":"0g","round":1,"parties":3}',
        b'{"run":"%s","round":-1,"parties":3}' % (b"00" * 16),
        b'{"run":"%s","round":9223372036854775808,"parties":3}' % (b"00" * 16),
        b'{"run":"%s","round":1,"parties":1048577}' % (b"00" * 16),
        b'{"run":"%s","round":1}' % (b"00" * 16),
        b"",
    ],
)
def test_a_request_for_no_round_is_refused(ahead):
    grid = grid_of(3)
    node = next(iter(grid.apps))
    run(grid, 1)
    (last,) = (m for m in grid.sent if m.metadata.dst_node_id == node and m.content["secagg"]["phase"] == "unmask")
    header = ConfigRecord({**last.content["secagg"], "ahead": ahead})
    reply = grid.ask(node, Message(RecordDict({**last.content, "secagg": header}), node, "train"))
    assert "WireError: not a round to prepare for" in reply.error.reason


def test_a_node_prepares_only_what_it_would_take_part_in():
    identify()
    grid = grid_of(3, mods=(SecAggMod(protocols=["secagg+"]),))
    node = next(iter(grid.apps))
    terms = Invitation("secagg", "{}", PairwiseMasking().fingerprint, "num-examples", bytes(32)).to_bytes()
    request = envelope.ask_record(Ask(PREPARE, b"", terms, None, Ahead("00" * 16, 7, 3)))
    assert "this client allows" in grid.ask(node, Message(request, node, "train")).error.reason
    assert "secagg.prepared" not in grid.states[node]
    grid.apps[node] = client_app()
    reply = grid.ask(node, Message(request, node, "train"))
    assert set(reply.content["secagg.frames"]) == {"prepared"}


@pytest.mark.nightly
def test_the_bench_counts_two_trips_more_in_a_simulation(tmp_path):
    """Flower's own grid and processes, through `python -m bench flower`."""
    path = tmp_path / "flower.json"
    how = ["--clients", "4", "--dim", "50", "--rounds", "3", "--training", "0", "--json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "flower", *how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["case"]["of"]: row["figures"] for row in json.loads(path.read_text())["rows"]}
    assert (rows["plain"]["trips"], rows["secure"]["trips"]) == (1, 3)
    assert rows["engine"]["of a plain round"] > 0

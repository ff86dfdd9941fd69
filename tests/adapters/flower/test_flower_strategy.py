"""The wrapped strategy gets the weighted mean of the survivors, whoever is lost, and nothing travels beside the sum."""

import logging
from itertools import product

import numpy as np
import pytest
from beside_plain import WEIGHT_MAX, close, fedavg, secure, steps_in
from federation import (
    MODEL,
    RUN,
    WEIGHTS,
    arrays_of,
    client_app,
    examples_of,
    grid_of,
    identify,
    model_record,
    step_of,
)
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg import Credentials, Policy
from secagg.adapters.flower import SecAggMod, SecureAggregation
from secagg.errors import ConfigError, OutOfRange, SecaggError
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

PHASES = ("keys", "shares", "masked", "unmask")


def mean_step(nodes, server_round, arrays=MODEL):
    """What plain FedAvg over `nodes` adds to every array."""
    total = sum(map(examples_of, nodes))
    return {
        name: sum(examples_of(node) * step_of(node, server_round, np.shape(array)) for node in nodes) / total
        for name, array in arrays.items()
    }


def test_five_rounds_stay_within_the_stated_bound_of_plain_fedavg():
    grid, plain = grid_of(5), grid_of(5, mods=())
    strategy = secure(metrics={"train_loss": 2.0})
    result = strategy.start(grid, model_record(), num_rounds=5)
    other = fedavg().start(plain, model_record(), num_rounds=5)
    bound = {name: sum(o.error_bound[name] for o in strategy.outcomes.values()) for name in MODEL}
    close(arrays_of(result.arrays), arrays_of(other.arrays), bound, roundings=5)
    for server_round, outcome in strategy.outcomes.items():
        assert outcome.weight == sum(map(examples_of, grid.apps))
        assert outcome.contributors == set(map(str, grid.apps))
        assert (outcome.lost, outcome.misbehaved, outcome.saturated, outcome.failure) == ({}, {}, 0, None)
        found = result.train_metrics_clientapp[server_round]["train_loss"]
        wanted = np.mean([0.25 * (node % 7) for node in grid.apps])  # where plain FedAvg weighs them by examples
        assert abs(found - wanted) <= outcome.error_bound["metrics/train_loss"]


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_every_round_adds_what_plain_fedavg_adds_within_that_rounds_bound(bits):
    strategy = secure(bits=bits)
    found, wanted = steps_in(strategy, grid_of(5)), steps_in(fedavg(), grid_of(5, mods=()))
    for server_round, outcome in strategy.outcomes.items():
        for name, array in MODEL.items():
            slack = outcome.error_bound[name] + 8 * np.finfo(array.dtype).eps  # each model is rounded to its dtype
            assert np.abs(found[server_round][name] - wanted[server_round][name]).max() <= slack


def test_trips_of_a_round():
    grid = grid_of(4)
    secure().start(grid, model_record(), num_rounds=2)
    assert grid.trips == [(phase, 4) for phase in (*PHASES, *PHASES[1:])]


def test_plain_fedavg_takes_one():
    grid = grid_of(4, mods=())
    fedavg().start(grid, model_record(), num_rounds=2)
    assert grid.trips == [("train", 4)] * 2


def test_only_the_protocols_records_travel_back():
    grid = grid_of(4)
    secure(metrics={"train_loss": 2.0}).start(grid, model_record(), num_rounds=1)
    for reply in grid.replies:
        assert set(reply.content) == {"secagg", "secagg.frames"}
        assert set(reply.content["secagg"]) == {"version", "phase"}
        assert set(reply.content["secagg.frames"]) <= {"reply", "prepared"}


def test_the_model_travels_with_the_phase_that_trains_alone():
    grid = grid_of(4)
    secure().start(grid, model_record(), num_rounds=1)
    with_model = {str(m.content["secagg"]["phase"]) for m in grid.sent if "arrays" in m.content}
    assert with_model == {"masked"}


def fates_of(nodes, pattern):
    """{node: phase at which it goes silent}; a node that is lost stays so."""
    return {node: PHASES[at] for node, at in zip(nodes, pattern, strict=True) if at < len(PHASES)}


def losing(fates, how="silent"):
    def lose(node, phase):
        at = fates.get(node)
        return how if at is not None and PHASES.index(phase) >= PHASES.index(at) else None

    return lose


def check_pattern(nodes, pattern, threshold, how):
    grid = grid_of(nodes)
    fates = fates_of(grid.apps, pattern)
    grid.lose = losing(fates, how)
    strategy = secure(options={"threshold": threshold})
    result = strategy.start(grid, model_record(), num_rounds=1)
    outcome = strategy.outcomes[1]
    survivors = [node for node in grid.apps if fates.get(node, "unmask") == "unmask"]
    if nodes - len(fates) < threshold:
        assert outcome.failure is not None
        assert outcome.contributors == frozenset()
        assert not result.arrays
        return
    assert outcome.contributors == set(map(str, survivors))
    assert outcome.lost == {str(node): phase for node, phase in fates.items()}
    assert outcome.weight == sum(map(examples_of, survivors))
    wanted = {name: MODEL[name] + step for name, step in mean_step(survivors, 1).items()}
    close(arrays_of(result.arrays), wanted, outcome.error_bound)


@pytest.mark.parametrize("first", [*(pytest.param(at, marks=pytest.mark.nightly) for at in range(4)), 4])
def test_every_pattern_of_losses_among_four(first):
    for rest in product(range(5), repeat=3):
        check_pattern(4, (first, *rest), 3, "error" if sum(rest) % 2 else "silent")


@pytest.mark.nightly
@settings(max_examples=40)
@given(st.lists(st.integers(0, 8), min_size=6, max_size=6), st.sampled_from(["silent", "error"]))
def test_patterns_of_losses_among_six(pattern, how):
    check_pattern(6, pattern, 4, how)


def test_a_round_without_a_sum_leaves_the_model_and_training_goes_on():
    grid = grid_of(4)
    bad = {1: True}
    grid.lose = lambda node, phase: "silent" if bad[1] and phase == "masked" and node % 2 else None
    strategy = secure()
    seen = []

    def evaluate(server_round, arrays):
        bad[1] = server_round == 0
        seen.append(arrays_of(arrays))

    strategy.start(grid, model_record(), num_rounds=2, evaluate_fn=evaluate)
    assert "'masked'" in strategy.outcomes[1].failure
    assert set(strategy.outcomes[1].lost.values()) == {"masked"}
    assert strategy.outcomes[2].failure is None
    for name in MODEL:
        np.testing.assert_array_equal(seen[1][name], MODEL[name])
    close(seen[2], {n: MODEL[n] + s for n, s in mean_step(grid.apps, 2).items()}, strategy.outcomes[2].error_bound)


def test_a_round_too_small_is_skipped_before_any_message():
    grid = grid_of(2)
    strategy = secure()
    strategy.start(grid, model_record(), num_rounds=1)
    assert grid.trips == []
    assert "2 nodes sampled, 3 needed" in strategy.outcomes[1].failure


def test_a_clientapp_without_the_mod_is_a_loss():
    grid = grid_of(4)
    odd = next(iter(grid.apps))
    grid.apps[odd] = client_app(mods=())
    strategy = secure()
    strategy.start(grid, model_record(), num_rounds=1)
    assert strategy.outcomes[1].lost == {str(odd): "keys"}
    assert strategy.outcomes[1].failure is None


HINT = "is secagg_mod in ClientApp(mods=[...])?"


def another(message, context):
    """A train function that needs nothing of what it is sent."""
    return Message(RecordDict({"arrays": model_record()}), reply_to=message)


@pytest.mark.parametrize(
    "how",
    [{"mods": ()}, {"mods": (), "train": another}, {"lose": lambda node, phase: "silent"}],
    ids=["raises", "replies", "silent"],
)
def test_where_no_node_has_ever_answered_the_failure_asks_for_the_mod(how, caplog):
    strategy = secure()
    strategy.start(grid_of(4, **how), model_record(), num_rounds=1)
    assert strategy.outcomes[1].failure.endswith(HINT)
    assert HINT in caplog.text


def test_where_the_mod_has_refused_no_failure_asks_for_it():
    strategy = secure()
    strategy.start(grid_of(4, mods=(SecAggMod(policy=Policy(min_cohort=5)),)), model_record(), num_rounds=1)
    assert "0 parties answered" in strategy.outcomes[1].failure
    assert HINT not in strategy.outcomes[1].failure


def test_where_an_earlier_round_had_a_sum_no_failure_asks_for_the_mod():
    grid, strategy = grid_of(4), secure()
    grid.lose = lambda node, phase: "silent" if strategy.outcomes else None
    strategy.start(grid, model_record(), num_rounds=2)
    assert [outcome.failure is None for outcome in strategy.outcomes.values()] == [True, False]
    assert HINT not in strategy.outcomes[2].failure


def test_where_the_mod_refused_an_earlier_round_no_failure_asks_for_it():
    grid, strategy = grid_of(4, mods=(SecAggMod(policy=Policy(min_cohort=5)),)), secure()
    grid.lose = lambda node, phase: "silent" if strategy.outcomes else None
    strategy.start(grid, model_record(), num_rounds=2)
    assert all(outcome.failure is not None for outcome in strategy.outcomes.values())
    assert HINT not in strategy.outcomes[2].failure
    grid.lose = lambda node, phase: "silent"
    strategy.start(grid, model_record(), num_rounds=1)  # another run, which has met nobody
    assert strategy.outcomes[1].failure.endswith(HINT)


def test_where_the_mod_has_no_credentials_no_failure_asks_for_it():
    def missing(context):
        raise FileNotFoundError("no key of this node")

    roster = Credentials.generate(list(map(str, grid_of(4).apps)), SeededEntropy("flower"))
    strategy = secure(options={"adversary": "active"}, roster=next(iter(roster.values())).roster)
    grid = grid_of(4, mods=(SecAggMod(credentials=missing),))
    strategy.start(grid, model_record(), num_rounds=1)
    assert "0 parties answered" in strategy.outcomes[1].failure
    assert HINT not in strategy.outcomes[1].failure


def test_a_round_in_which_all_abstain_leaves_the_model_and_training_goes_on():
    grid, seen = grid_of(4), []
    whole = grid.apps

    def nothing(message, context):
        return Message(
            RecordDict({"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 0})}),
            reply_to=message,
        )

    def evaluate(server_round, arrays):
        grid.apps = whole if server_round else dict.fromkeys(whole, client_app(train=nothing))
        seen.append(arrays_of(arrays))

    strategy = secure()
    strategy.start(grid, model_record(), num_rounds=2, evaluate_fn=evaluate)
    assert [outcome.abstained for outcome in strategy.outcomes.values()] == [4, 0]
    assert {outcome.failure for outcome in strategy.outcomes.values()} == {None}
    for name in MODEL:
        np.testing.assert_array_equal(seen[1][name], MODEL[name])


def test_evaluation_is_the_wrapped_strategys():
    grid = grid_of(3)
    result = SecureAggregation(flower.FedAvg(), weight_max=WEIGHT_MAX).start(grid, model_record(), num_rounds=1)
    assert dict(result.evaluate_metrics_clientapp[1]) == {"auc": 0.5}


def test_unweighted_mean():
    grid = grid_of(4)
    strategy = secure(weight_max=None)
    result = strategy.start(grid, model_record(), num_rounds=1)
    assert strategy.outcomes[1].weight == 4
    wanted = {name: MODEL[name] + np.mean([step_of(n, 1, MODEL[name].shape) for n in grid.apps], 0) for name in MODEL}
    close(arrays_of(result.arrays), wanted, strategy.outcomes[1].error_bound)


@pytest.mark.parametrize("examples", [0, 1, 50])
def test_a_node_without_examples_abstains_and_one_of_few_counts_as_the_lightest(examples):
    grid = grid_of(4)
    empty, *others = grid.apps

    def train(message, context):
        metrics = MetricRecord({"num-examples": examples})
        return Message(RecordDict({"arrays": message.content["arrays"], "metrics": metrics}), reply_to=message)

    grid.apps[empty] = client_app(train=train)
    strategy, counted = secure(weight_min=10), max(examples, 10)
    result = strategy.start(grid, model_record(), num_rounds=1)
    outcome, total = strategy.outcomes[1], sum(map(examples_of, others))
    assert (outcome.lost, outcome.abstained) == ({}, examples == 0)
    assert outcome.weight == total + counted
    step = mean_step(others, 1)
    wanted = {name: array + step[name] * total / (total + counted) for name, array in MODEL.items()}
    close(arrays_of(result.arrays), wanted, outcome.error_bound)


@pytest.mark.parametrize(("inner", "own"), [("num-examples", "batches"), ("batches", None), ("total", "batches")])
def test_the_weight_has_the_name_that_each_side_gives_it(inner, own):
    def train(message, context):
        metrics = MetricRecord({"batches": examples_of(context.node_id)})
        step, arrays = context.node_id % 5 / 10, arrays_of(message.content["arrays"])
        arrays = {name: array + step for name, array in arrays.items()}
        return Message(RecordDict({"arrays": model_record(arrays), "metrics": metrics}), reply_to=message)

    grid = grid_of(4, train=train)
    strategy = secure(fedavg(weighted_by_key=inner), weighted_by_key=own)
    found = arrays_of(strategy.start(grid, model_record(), num_rounds=1).arrays)
    total = sum(map(examples_of, grid.apps))
    assert strategy.outcomes[1].weight == total
    moved = sum(examples_of(node) * (node % 5) / 10 for node in grid.apps) / total
    close(found, {name: array + moved for name, array in MODEL.items()}, strategy.outcomes[1].error_bound)


def test_counters_are_averaged_as_fedavg_does():
    def train(message, context):
        arrays = arrays_of(message.content["arrays"])
        arrays["batches"] = np.asarray(arrays["batches"] + 100 * (context.node_id % 5)).astype(np.int64)
        metrics = MetricRecord({"num-examples": examples_of(context.node_id)})
        return Message(RecordDict({"arrays": model_record(arrays), "metrics": metrics}), reply_to=message)

    model = {"batches": np.array(7), "flags": np.array([True, False])}
    results, strategy = [], secure(bits=20, clip={"flags": 1.0, "*": 0.5})
    for server, mods in ((strategy, (SecAggMod(),)), (fedavg(), ())):
        results.append(arrays_of(server.start(grid_of(4, train=train, mods=mods), model_record(model), 3).arrays))
    for name, array in results[0].items():
        assert array.dtype == results[1][name].dtype == np.float64
        slack = sum(outcome.error_bound[name] for outcome in strategy.outcomes.values()) + 3
        assert np.abs(array - results[1][name]).max() <= slack
    assert all(outcome.saturated == 0 for outcome in strategy.outcomes.values())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"metrics": ["train_loss"]}, r"metrics is \['train_loss'\]: expected a dict {name: clip}"),
        ({"options": ["x"]}, r"options is \['x'\]: expected a dict"),
        ({"max_late": "0.2"}, r"max_late is '0.2': expected a share in 0..1"),
        ({"phase_timeout": "10"}, "phase_timeout is '10': expected seconds, more than 0"),
        ({"phase_timeout": True}, "phase_timeout is True: expected seconds"),
        ({"phase_timeout": 0}, "phase_timeout is 0: expected seconds, more than 0"),
        ({"weighted_by_key": 5}, "weighted_by_key is 5: expected a text or None"),
        ({"min_cohort": "3"}, "min_cohort is '3': expected an integer"),
        ({"roster": {}}, "roster is dict, expected a Roster or None"),
        ({"entropy": None}, "entropy is None: expected a function"),
    ],
)
def test_arguments_of_another_type(wrong, words):
    with pytest.raises(ConfigError, match=words):
        SecureAggregation(fedavg(), **{"weight_max": 50} | wrong)


def test_metrics_that_were_clipped_are_named_as_metrics(caplog):
    with caplog.at_level(logging.WARNING, "flwr.secagg"):
        strategy = secure(metrics={"train_loss": 1e-3})
        strategy.start(grid_of(4), model_record(), num_rounds=1)
    outcome = strategy.outcomes[1]
    assert (outcome.saturated, outcome.clipped_metrics) == (0, {"train_loss"})
    assert "metric 'train_loss' lies at its clip: state a larger one" in caplog.text


def test_weights_that_start_as_integer_zeros_are_refused():
    """As counters they would move in steps of 1/8 and end elsewhere than in plain FedAvg."""
    with pytest.raises(ConfigError, match=r"arrays \['bias'\] hold integers: weights have to start as floats"):
        secure().start(grid_of(4), model_record({"bias": np.zeros(3, int)}), num_rounds=1)


def test_clips_by_array_and_saturation():
    grid = grid_of(4)
    strategy = secure(clip={"bias": 0.125, "*": 0.5})
    result = strategy.start(grid, model_record(), num_rounds=1)
    outcome = strategy.outcomes[1]
    steps = {node: step_of(node, 1, (3,)) for node in grid.apps}
    assert outcome.saturated == sum(int((np.abs(step) > 0.125).sum()) for step in steps.values())
    total = sum(map(examples_of, steps))
    clipped = sum(examples_of(node) * np.clip(step, -0.125, 0.125) for node, step in steps.items()) / total
    close({"bias": arrays_of(result.arrays)["bias"]}, {"bias": clipped}, outcome.error_bound)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"scheme": "secag"}, "scheme 'secag' is unknown"),
        ({"options": {"threshold": {1}}}, "do not fit JSON"),
        ({"scheme": PairwiseMasking(), "options": {"threshold": 3}}, "a scheme object has its own"),
        ({"min_cohort": 1}, "min_cohort is 1"),
        ({"phase_timeout": 0}, "phase_timeout is 0"),
        ({"bits": 40}, r"bits is 40: expected 2\.\.32"),
        ({"weight_max": 0}, "weight_max is 0"),
        ({"clip": 0.0}, "clip"),
        ({"clip": {"a": -1.0}}, "clip"),
        ({"metrics": {"loss": 0}}, "clip"),
        ({"metrics": {"num-examples": 1.0}}, "'num-examples' is the weight"),
        ({"metrics": {"num-examples": 1.0}, "weighted_by_key": "batches"}, "'num-examples' is the weight"),
    ],
)
def test_bad_numbers_are_refused_before_the_first_round(how, match):
    with pytest.raises(ConfigError, match=match):
        secure(**how)


def test_options_that_the_protocol_does_not_have():
    with pytest.raises(ConfigError, match="options of 'secagg'"):
        secure(options={"thresold": 3}).start(grid_of(4), model_record(), num_rounds=1)


@pytest.mark.parametrize("clip", [{"wieghts": 1.0, "*": 1.0}, {"weights": 1.0}])
def test_clips_that_do_not_fit_the_model(clip):
    with pytest.raises(OutOfRange, match="clip"):
        secure(clip=clip).start(grid_of(4), model_record(), num_rounds=1)


class PerNode(flower.FedAvg):
    """Sends every node a configuration of its own."""

    def configure_train(self, server_round, arrays, config, grid):
        for node in grid.get_node_ids():
            content = RecordDict({"arrays": arrays, "config": ConfigRecord({"lr": float(node % 7)})})
            yield Message(content, node, "train")


class Twice(flower.FedAvg):
    """Asks every node twice."""

    def configure_train(self, server_round, arrays, config, grid):
        return [*super().configure_train(server_round, arrays, config, grid)] * 2


class TwoModels(flower.FedAvg):
    """Sends two ArrayRecords."""

    def configure_train(self, server_round, arrays, config, grid):
        content = RecordDict({"arrays": arrays, "more": arrays})
        return [Message(content, node, "train") for node in grid.get_node_ids()]


@pytest.mark.parametrize(
    ("inner", "match"),
    [(PerNode, "another content"), (Twice, "two train messages"), (TwoModels, "2 ArrayRecords")],
)
def test_messages_that_no_sum_can_serve(inner, match):
    with pytest.raises(ConfigError, match=match):
        secure(inner()).start(grid_of(4), model_record(), num_rounds=1)


def test_arrays_that_cannot_be_summed():
    with pytest.raises(SecaggError, match="array 'words'"):
        secure().start(grid_of(4), model_record({"words": np.array(["a"])}), num_rounds=1)


def test_a_custom_action_reaches_its_function():
    class Custom(flower.FedAvg):
        def configure_train(self, *args):
            for message in super().configure_train(*args):
                yield Message(message.content, message.metadata.dst_node_id, "train.mine")

    grid = grid_of(3)
    for app in grid.apps.values():
        app.train("mine")(app_train)
    strategy = secure(Custom(fraction_evaluate=0.0))
    result = strategy.start(grid, model_record(), num_rounds=1)
    np.testing.assert_allclose(arrays_of(result.arrays)["bias"], 0.25, atol=strategy.outcomes[1].error_bound["bias"])


def app_train(message, context):
    arrays = {name: array + array.dtype.type(0.25) for name, array in arrays_of(message.content["arrays"]).items()}
    metrics = MetricRecord({"num-examples": 3})
    return Message(RecordDict({"arrays": model_record(arrays), "metrics": metrics}), reply_to=message)


class Timed:
    """A grid that notes the timeouts it is given."""

    def __init__(self, grid):
        self.grid, self.timeouts = grid, []

    def __getattr__(self, name):
        return getattr(self.grid, name)

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if messages:
            self.timeouts.append(timeout)
        return self.grid.send_and_receive(messages, timeout=timeout)


@pytest.mark.parametrize(("own", "expected"), [(None, [9, 9, 9, 9]), (2, [2, 2, 9, 2])])
def test_timeouts(own, expected):
    grid = Timed(grid_of(3))
    secure(phase_timeout=own).start(grid, model_record(), num_rounds=1, timeout=9)
    assert grid.timeouts == expected


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ({"scheme": "secagg+", "options": {"neighbours": 4}}, {}),
        ({"scheme": PairwiseMasking(threshold=4)}, {"scheme": PairwiseMasking(threshold=4)}),
    ],
    ids=["secagg+", "object"],
)
def test_schemes(server, client):
    grid = grid_of(6, mods=(SecAggMod(**client),))
    strategy = secure(**server)
    strategy.start(grid, model_record(), num_rounds=1)
    assert len(strategy.outcomes[1].contributors) == 6


def test_active_mode():
    names = list(map(str, grid_of(4).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    mod = SecAggMod(credentials=lambda context: known[str(context.node_id)])
    grid = grid_of(4, mods=(mod,), node_config=WEIGHTS)
    strategy = secure(options={"adversary": "active"}, roster=known[names[0]].roster)
    result = strategy.start(grid, model_record(), num_rounds=2)
    assert [phase for phase, _ in grid.trips[:5]] == ["keys", "shares", "masked", "consistency", "unmask"]
    model = arrays_of(result.arrays)
    wanted = {n: MODEL[n] + mean_step(grid.apps, 1)[n] + mean_step(grid.apps, 2)[n] for n in MODEL}
    close(model, wanted, {n: 2 * strategy.outcomes[1].error_bound[n] for n in MODEL}, roundings=2)


def test_active_clients_open_no_second_sum_of_nearly_the_same_cohort():
    """The same model and round again, with one client less: the difference would be that client's update."""
    names = list(map(str, grid_of(5).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    mod = SecAggMod(credentials=lambda context: known[str(context.node_id)])
    grid = grid_of(5, mods=(mod,), node_config=WEIGHTS)
    how = {"options": {"adversary": "active", "threshold": 4}, "roster": known[names[0]].roster}
    secure(**how).start(grid, model_record(), num_rounds=1)
    grid.lose = losing({next(iter(grid.apps)): "keys"})
    again = secure(**how)
    again.start(grid, model_record(), num_rounds=1)
    assert again.outcomes[1].failure is not None
    refusals = [reply.error.reason for reply in grid.replies if reply.has_error()]
    assert len(refusals) == 4
    assert all("second sum of updates of the same model" in reason for reason in refusals)


@pytest.mark.parametrize(("assumptions", "agreed"), [(None, False), ({"sigma": 50}, False), ({"corrupt": 0}, True)])
def test_active_clients_say_how_many_may_be_corrupt(assumptions, agreed):
    names = list(map(str, grid_of(4).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    mod = SecAggMod(credentials=lambda context: known[str(context.node_id)], assumptions=assumptions)
    grid = grid_of(4, mods=(mod,), node_config=WEIGHTS)
    strategy = secure(options={"adversary": "active", "corrupt": 0.0}, roster=known[names[0]].roster)
    strategy.start(grid, model_record(), num_rounds=1)
    assert (strategy.outcomes[1].failure is None) == agreed
    if not agreed:
        assert all("this client asks for at least" in reply.error.reason for reply in grid.replies)


def test_active_clients_refuse_a_passive_round():
    names = list(map(str, grid_of(4).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    grid = grid_of(4, mods=(SecAggMod(credentials=lambda context: known[str(context.node_id)]),))
    strategy = secure()
    strategy.start(grid, model_record(), num_rounds=1)
    assert strategy.outcomes[1].failure is not None
    assert all("active mode only" in reply.error.reason for reply in grid.replies)


def test_each_round_is_a_new_session():
    grid = grid_of(3)
    secure().start(grid, model_record(), num_rounds=3)
    sessions = [
        m.content["secagg.frames"]["session"].data for m in grid.sent if "session" in m.content["secagg.frames"]
    ]
    assert len(sessions) == 9
    assert len(set(sessions)) == 3


def test_a_second_start_begins_from_nothing():
    """Its outcomes are its own; an array that held integers in the run before may hold floats now."""
    strategy = secure()
    strategy.start(grid_of(4), model_record({"bias": np.array(0)}), num_rounds=3)
    first = strategy.outcomes
    strategy.start(grid_of(4), model_record(), num_rounds=1)
    assert (set(first), set(strategy.outcomes)) == ({1, 2, 3}, {1})
    assert strategy.outcomes[1].error_bound["bias"] < 0.01 < first[1].error_bound["bias"]


def test_aggregate_without_configure_gives_the_wrapped_strategy_nothing():
    identify()
    assert secure().aggregate_train(1, []) == (None, None)


def test_the_one_reply_is_the_servers_own():
    seen = []

    class Watched(flower.FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.extend(replies)
            return super().aggregate_train(server_round, replies)

    grid = grid_of(4)
    secure(Watched(fraction_evaluate=0.0)).start(grid, model_record(), num_rounds=1)
    (reply,) = seen
    assert dict(reply.content["metrics"]) == {"num-examples": sum(map(examples_of, grid.apps))}
    assert (reply.metadata.run_id, reply.metadata.src_node_id, reply.metadata.dst_node_id) == (RUN, 1, 1)
    assert isinstance(reply.content["arrays"], ArrayRecord)


def test_repr_names_strategy_and_scheme():
    assert repr(secure()) == "SecureAggregation(FedAvg, scheme='secagg')"

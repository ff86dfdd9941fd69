"""What docs/flower.md says beside all this: ranges of weights, drawn cohorts, half of a sample drawn anew, defaults."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from beside_plain import fedavg, secure
from federation import MODEL, RUN, WEIGHTS, MemoryGrid, client_app, examples_of, grid_of, model_record
from flwr.app import Context, Error, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from lying import replied
from test_flower_mod import SECRET, calls, held_at, raising
from test_flower_protocols import grid_for
from test_flower_protocols import run as run_of

from secagg import Credentials, Draw, Policy
from secagg.adapters.flower import SecAggMod, SecureAggregation, node, secagg_mod
from secagg.federation.choice import AllowedSchemes
from secagg.federation.client import Limits
from secagg.testing import SeededEntropy, small_keys


@pytest.mark.parametrize(
    ("weight", "own", "counted"),
    [(1, None, 10), (10**6, None, 400), (1, "30,60", 30), (45, "30,60", 45), (10**6, "30,60", 60)],
)
def test_a_weight_counts_as_the_nearer_end_of_the_sessions_range_or_of_the_nodes_own(weight, own, counted):
    def train(message, context):
        return replied(message, message.content["arrays"], **{"num-examples": weight})

    grid = grid_of(3, train=train, node_config={} if own is None else {"secagg-weights": own})
    strategy = secure(weight_min=10)
    strategy.start(grid, model_record(), num_rounds=1)
    assert (strategy.outcomes[1].weight, strategy.outcomes[1].abstained) == (3 * counted, 0)


def test_a_message_with_an_error_is_not_trained_by():
    grid, who = held_at("masked")
    message = grid.held[who]
    message.__dict__ |= {"_content": None, "_error": Error(7, SECRET)}
    reply = grid.apps[who](message, Context(RUN, who, {}, grid.states[who], {}))
    assert reply.error.reason == "ValueError: this client's own log says why"
    assert calls(grid, who) == 0


def test_what_runs_before_the_mod_tells_the_server_its_text_and_sees_what_nobody_has_compared():
    grid, who = held_at("masked")
    first = grid.held[who]

    def before(message, context, call_next):
        raise ValueError(SECRET)

    grid.apps[who] = client_app(mods=(before, secagg_mod))
    assert SECRET in grid.ask(who, first).error.reason
    grid.apps[who], grid.run_config = client_app(), {"said": "at this node alone"}
    seen = []

    @grid.apps[who].lifespan()
    def lifespan(context):
        seen.append(dict(context.run_config))
        yield

    assert grid.ask(who, first).error.reason.startswith("InconsistentModel")
    assert seen == [{"said": "at this node alone"}]

    app = grid.apps[who] = ClientApp(mods=[secagg_mod])
    app.lifespan()(raising(ValueError(SECRET)))
    assert SECRET in grid.ask(who, first).error.reason


@pytest.mark.parametrize(("own", "counts"), [(None, 0.25), (0.1, 0.1), (0.9, 0.25)])
def test_a_nodes_own_share_of_clipped_entries_only_narrows(own, counts):
    config = {} if own is None else {"secagg-saturation": own}
    limits = Limits(Policy(), AllowedSchemes(frozenset(["secagg"]), None, authenticated=True))
    narrow = node.narrowed(Context(RUN, 7, config, RecordDict(), {}), limits)
    assert narrow == replace(limits, saturation=counts)


@pytest.mark.parametrize("drawn", [True, False], ids=["", "another"])
def test_active_clients_take_part_in_the_cohort_that_is_drawn(drawn):
    """Of five, all but one: whoever the server would rather leave out. Rounds are numbered from 0."""
    nodes = list(grid_of(5).apps)
    known = Credentials.generate(map(str, nodes), SeededEntropy("flower"))
    roster, draw = known[str(nodes[0])].roster, Draw(bytes(16), 4, 1)
    mod = SecAggMod(credentials=lambda context: replace(known[str(context.node_id)], draw=draw))
    cohort = [int(name) for name in draw.cohort(roster, 0)]
    left = next(each for each in nodes if each not in cohort)
    sampled = cohort if drawn else [left, *cohort[1:]]
    grid = MemoryGrid({each: client_app((mod,)) for each in sampled}, node_config=WEIGHTS)
    strategy = secure(options={"adversary": "active"}, roster=roster, max_late=0)
    strategy.start(grid, model_record(), num_rounds=1)
    assert (strategy.outcomes[1].failure is None) == drawn
    refused = [reply.error.reason for reply in grid.replies if reply.has_error()]
    assert len(refused) == (0 if drawn else 4)
    assert all("not the cohort drawn for round 0" in reason for reason in refused)


def test_half_of_a_sample_drawn_anew_takes_the_trip_of_keys():
    class Moving(flower.FedAvg):
        """Samples four of eight, of whom two were not in the round before."""

        def configure_train(self, server_round, arrays, config, grid):
            messages = list(super().configure_train(server_round, arrays, config, grid))
            nodes = [*sorted(each.metadata.dst_node_id for each in messages)] * 2
            some = nodes[2 * server_round : 2 * server_round + 4]
            return [each for each in messages if each.metadata.dst_node_id in some]

    grid, strategy = grid_of(8), secure(Moving(fraction_evaluate=0.0))
    strategy.start(grid, model_record(), num_rounds=4)
    assert all(outcome.failure is None and not outcome.left_out for outcome in strategy.outcomes.values())
    assert [count for phase, count in grid.trips if phase == "keys"] == [4, 2, 2, 2]


@pytest.mark.parametrize("scheme", ["paillier", "ckks"])
def test_who_is_not_asked_in_the_last_phase_keeps_its_state_until_another_round(scheme):
    grid = grid_for(scheme, 5)
    with small_keys(1024):
        run_of(grid, scheme)
        asked = {m.metadata.dst_node_id for m in grid.sent if m.content["secagg"]["phase"] == "decrypt"}
        kept = {each: state["secagg"] for each, state in grid.states.items() if "secagg" in state}
        assert set(kept) == set(grid.apps) - asked
        run_of(grid, scheme)
    assert all(grid.states[each].get("secagg") != record for each, record in kept.items())


def test_the_defaults_are_those_of_the_page():
    given = inspect.signature(SecureAggregation).parameters
    stated = {"bits": 16, "rounding": "stochastic", "scheme": "secagg", "max_late": 0.25}
    stated |= dict.fromkeys(("weight_min", "weighted_by_key", "metrics", "options", "phase_timeout", "roster"), None)
    assert {name: given[name].default for name in stated} == stated
    for weight_max, least in ((500, 5), (50, 1)):  # a hundredth, and no less than 1
        grid = grid_of(3)
        strategy = SecureAggregation(fedavg(), weight_max=weight_max)
        grid.apps = dict.fromkeys(grid.apps, client_app(train=of_one_example))
        strategy.start(grid, model_record(), num_rounds=1)
        assert strategy.outcomes[1].weight == 3 * least


def of_one_example(message, context):
    return replied(message, message.content["arrays"], **{"num-examples": 1})


def test_an_outcome_tells_what_the_page_lists():
    grid = grid_of(4)
    strategy = secure(metrics={"train_loss": 1e-3}, clip=0.25, options={"threshold": 3})
    lost = next(iter(grid.apps))
    grid.lose = lambda each, phase: "silent" if each == lost and phase in ("masked", "unmask") else None
    strategy.start(grid, model_record(), num_rounds=1)
    outcome, rest = strategy.outcomes[1], [each for each in grid.apps if each != lost]
    assert (outcome.contributors, outcome.abstained, outcome.left_out) == (set(map(str, rest)), 0, frozenset())
    assert outcome.lost == {str(lost): "masked"}
    assert outcome.weight == sum(map(examples_of, rest))
    assert set(outcome.error_bound) == {*MODEL, "metrics/train_loss"}
    assert (outcome.saturated > 0, outcome.clipped_metrics) == (True, {"train_loss"})
    assert outcome.reporting == {"train_loss": 3}
    assert np.isfinite(list(outcome.error_bound.values())).all()

"""The client sends its update into a secure sum that it agrees to, and tells the server nothing else."""

import msgspec
import numpy as np
import pytest
from federation import MODEL, WEIGHTS, MemoryGrid, client_app, grid_of, model_record
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.client_app import LoadClientAppError
from flwr.common.constant import ErrorCode
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from secagg import Credentials, Policy
from secagg.adapters.flower import FLOWER, SecAggMod, SecureAggregation, envelope, secagg_mod
from secagg.adapters.flower._installed import check_flower
from secagg.errors import ConfigError, NotFinite, OutOfRange, PolicyRefused, SecaggError, WireError
from secagg.federation.messages import Ask, Invitation
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking


class Lifted(Exception):
    """Ends a run from inside the grid, once the test has what it wants."""


class Stopping(MemoryGrid):
    """Stops at a phase: `held` has its messages, which no node has seen."""

    def __init__(self, apps, at, **how):
        super().__init__(apps, **how)
        self.at = at

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if messages and messages[0].content.config_records["secagg"]["phase"] == self.at:
            self.held = {m.metadata.dst_node_id: m for m in messages}
            raise Lifted
        return super().send_and_receive(messages, timeout=timeout)


def held_at(phase, nodes=3, mods=(secagg_mod,), train=None, node_config=None, **how):
    """A federation stopped before `phase`, and a node of it."""
    grid = Stopping(grid_of(nodes, mods=mods, train=train).apps, phase, node_config=node_config)
    strategy = SecureAggregation(FedAvg(fraction_evaluate=0.0), **{"weight_max": 400, **how})
    with pytest.raises(Lifted):
        strategy.start(grid, model_record(), num_rounds=1)
    return grid, next(iter(grid.apps))


def refusal(grid, node, message):
    reply = grid.ask(node, message)
    assert reply.has_error()
    return reply.error.reason


def changed(message, **records):
    content = RecordDict({**message.content, **records})
    meta = message.metadata
    return Message(content, meta.dst_node_id, meta.message_type)


def calls(grid, node):
    return int(grid.states[node].get("calls", {"n": 0})["n"])


def test_a_plain_train_message_is_refused_and_nothing_is_trained():
    grid = grid_of(3)
    node = next(iter(grid.apps))
    content = RecordDict({"arrays": model_record(), "config": ConfigRecord({"server-round": 1})})
    assert "without secure aggregation" in refusal(grid, node, Message(content, node, "train"))
    assert calls(grid, node) == 0


@pytest.mark.parametrize("kind", ["evaluate", "query", "query.mine"])
def test_evaluate_and_query_messages_and_their_numbers_pass(kind):
    seen, grid = [], grid_of(3)
    node = next(iter(grid.apps))

    def function(message, context):
        seen.append(message.content)
        content = {"metrics": MetricRecord({"auc": 0.5, "curve": [0.1, 0.2]}), "about": ConfigRecord({"site": "a"})}
        return Message(RecordDict(content), reply_to=message)

    grid.apps[node] = app_of(function)
    grid.apps[node].query("mine")(function)
    sent = RecordDict({"arrays": model_record(), "config": ConfigRecord({"server-round": 1})})
    reply = grid.ask(node, Message(sent, node, kind))
    assert seen == [sent]
    assert dict(reply.content["metrics"]) == {"auc": 0.5, "curve": [0.1, 0.2]}
    assert dict(reply.content["about"]) == {"site": "a"}


@pytest.mark.parametrize("kind", ["evaluate", "query"])
@pytest.mark.parametrize("records", [{"arrays": model_record()}, {"a": ArrayRecord({}), "b": model_record()}])
def test_arrays_leave_in_no_reply_beside_the_sum(kind, records):
    def function(message, context):
        content = {"metrics": MetricRecord({"auc": 0.5, "num-examples": 7}), **records}
        return Message(RecordDict(content), reply_to=message)

    grid = grid_of(3)
    node = next(iter(grid.apps))
    grid.apps[node] = app_of(function)
    reason = refusal(grid, node, asked(grid, node, kind))
    assert reason.startswith(f"PolicyRefused: a reply to {kind!r} with {len(records)} ArrayRecords, expected none")


def test_a_refused_evaluation_does_not_end_the_secure_round():
    def with_arrays(message, context):
        return Message(RecordDict({"arrays": model_record()}), reply_to=message)

    grid, node = held_at("masked")
    grid.apps[node].query()(with_arrays)
    kept = grid.states[node]["secagg"]
    assert refusal(grid, node, asked(grid, node, "query")).startswith("PolicyRefused")
    assert grid.states[node]["secagg"] == kept
    assert grid.ask(node, grid.held[node]).has_content()


def test_the_users_function_is_called_once_a_round_with_the_users_records():
    grid = grid_of(3)
    SecureAggregation(FedAvg(fraction_evaluate=0.0), weight_max=400).start(grid, model_record(), num_rounds=4)
    assert [calls(grid, node) for node in grid.apps] == [4, 4, 4]  # the function itself checks what it gets


@pytest.mark.parametrize(
    "records",
    [
        {"arrays": model_record({**MODEL, "bias": MODEL["bias"] + 1e-9})},
        {"arrays": ArrayRecord(dict(reversed(model_record().items())) | {"bias": model_record()["weights"]})},
        {"config": ConfigRecord({"server-round": 2})},
        {"more": ConfigRecord({"a": 1})},
    ],
    ids=["model", "arrays", "configuration", "record"],
)
def test_another_model_than_the_sessions_is_not_trained(records):
    grid, node = held_at("masked")
    assert "InconsistentModel" in refusal(grid, node, changed(grid.held[node], **records))
    assert calls(grid, node) == 0
    assert "secagg" not in grid.states[node]  # who has refused takes no further part
    assert "StateError" in refusal(grid, node, grid.held[node])


def test_another_run_or_message_type_is_not_trained():
    grid, node = held_at("masked")
    grid.apps[node].train("other")(lambda message, context: pytest.fail("trained"))
    message = Message(grid.held[node].content, node, "train.other")
    assert "InconsistentModel" in refusal(grid, node, message)


SECRET = "row 17: patient Jane Roe, age 43, label missing"


def raising(error):
    def function(*_):
        raise error

    return function


def reply_of(arrays=None, metrics=None, **more):
    def train(message, context):
        content = RecordDict(
            {
                "arrays": message.content["arrays"] if arrays is None else model_record(arrays),
                "metrics": MetricRecord({"num-examples": 77123} if metrics is None else metrics),
                **more,
            }
        )
        return Message(content, reply_to=message)

    return train


NAN = {**MODEL, "bias": np.array([0.0, np.nan, 0.0])}
BAD_INPUT = {
    "fractional weight": (reply_of(metrics={"num-examples": 7.25}), "BadWeight", "no whole number"),
    "no weight": (reply_of(metrics={"n": 7}), "BadWeight", "reply without"),
    "weight is a list": (reply_of(metrics={"num-examples": [7, 8]}), "BadWeight", "no whole number"),
    "not a number": (reply_of(NAN, {"num-examples": 7}), "NotFinite", "bias"),
    "another shape": (reply_of({**MODEL, "bias": np.zeros(4)}, {"num-examples": 7}), "ShapeMismatch", "4"),
    "an array missing": (reply_of({"bias": np.zeros(3)}, {"num-examples": 7}), "ShapeMismatch", "bias"),
    "complex": (reply_of({**MODEL, "bias": np.zeros(3, complex)}, {"num-examples": 7}), "BadDtype", "bias"),
    "two array records": (reply_of(metrics={"num-examples": 7}, rest=model_record()), "InputError", "rest"),
    "two metric records": (reply_of(more=MetricRecord({"n": 4711})), "InputError", "2 MetricRecords"),
    "no examples": (reply_of(metrics={"num-examples": 0}), "BadWeight", "zero"),
}
"""{what is wrong: (train function, class of the error, part of its text)}; text that stays in the client's log."""
FAILURES = {
    "an error": (lambda message, _: Message(Error(77, SECRET), reply_to=message), "RuntimeError"),
    "an exception": (raising(ValueError(SECRET)), "ValueError"),
    "one of ours": (raising(OutOfRange(SECRET)), "OutOfRange"),
    "one about the input": (raising(NotFinite(SECRET)), "NotFinite"),
    "loading": (raising(LoadClientAppError(SECRET)), "LoadClientAppError"),
}
"""{why training gives nothing: (train function, class of the error)}."""


def shape_of(reply):
    """All that an eavesdropper sees of a reply but what its frame holds."""
    return dict(reply.content["secagg"]), [(name, a.shape) for name, a in reply.content["secagg.frames"].items()]


@pytest.mark.parametrize("name", BAD_INPUT)
def test_of_an_input_that_cannot_be_summed_the_server_learns_nothing(name, caplog):
    train, kind, secret = BAD_INPUT[name]
    good, _ = held_at("masked", train=reply_of())
    grid, node = held_at("masked", train=train)
    assert shape_of(grid.ask(node, grid.held[node])) == shape_of(good.ask(node, good.held[node]))
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info[1].__class__.__name__ == kind
    assert secret in str(record.exc_info[1])


@pytest.mark.parametrize("name", BAD_INPUT)
def test_of_a_client_that_falls_silent_the_server_learns_that(name):
    train = BAD_INPUT[name][0]
    grid, node = held_at("masked", train=train, node_config={"secagg-unusable": "silent"})
    reason = refusal(grid, node, grid.held[node])
    assert reason == "InputError: this client has no update in this round; its own log says why"


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("unusable", ["zero", "silent"])
def test_training_that_fails_is_a_loss_of_which_the_server_learns_the_class_alone(name, unusable, caplog):
    train, kind = FAILURES[name]
    grid, node = held_at("masked", train=train, node_config={"secagg-unusable": unusable})
    code = ErrorCode.LOAD_CLIENT_APP_EXCEPTION if name == "loading" else ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    reply = grid.ask(node, grid.held[node])
    assert (reply.error.code, reply.error.reason) == (code, f"{kind}: this client's own log says why")
    assert SECRET in caplog.text
    assert "StateError" in refusal(grid, node, grid.held[node])  # it has left the round


@pytest.mark.parametrize("weight", [77123, 1, 7.0])
def test_a_weight_outside_its_range_is_summed_too(weight, caplog):
    grid, node = held_at("masked", train=reply_of(metrics={"num-examples": weight}))
    assert grid.ask(node, grid.held[node]).has_content()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("metrics", [{"num-examples": 7}, {"num-examples": 7, "loss": [1.0]}])
def test_a_metric_that_the_server_named_and_the_client_has_not(metrics):
    grid, node = held_at("masked", train=reply_of(metrics=metrics), metrics={"loss": 1.0})
    assert grid.ask(node, grid.held[node]).has_content()


def app_of(function, mod=secagg_mod):
    """A node's app whose functions are all this one."""
    app = ClientApp(mods=[mod])
    for register in (app.train, app.evaluate, app.query):
        register()(function)
    return app


def asked(grid, node, kind):
    """A message of that kind; of "train", the one that the node has not seen."""
    return grid.held[node] if kind == "train" else Message(RecordDict({"arrays": model_record()}), node, kind)


@pytest.mark.parametrize("kind", ["evaluate", "query"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(SECRET), ErrorCode.CLIENT_APP_RAISED_EXCEPTION),
        (OutOfRange(SECRET), ErrorCode.CLIENT_APP_RAISED_EXCEPTION),  # the user's own, not a refusal of the mod
        (LoadClientAppError(SECRET), ErrorCode.LOAD_CLIENT_APP_EXCEPTION),
    ],
    ids=["builtin", "ours", "loading"],
)
def test_of_the_users_exception_the_server_learns_the_class_alone(kind, error, code, caplog):
    grid, node = held_at("masked")
    grid.apps[node] = app_of(raising(error))
    reply = grid.ask(node, asked(grid, node, kind))
    assert reply.error.code == code
    assert reply.error.reason == f"{type(error).__name__}: this client's own log says why"
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.name == "flwr.secagg"
    assert record.exc_info[1] is error  # with its traceback


def test_an_exception_of_a_mod_that_runs_later_is_the_users(caplog):
    def later(message, context, call_next):
        raise ValueError(SECRET)

    grid, node = held_at("masked")
    grid.apps[node] = client_app(mods=(secagg_mod, later))
    assert refusal(grid, node, grid.held[node]) == "ValueError: this client's own log says why"
    assert SECRET in caplog.text


def test_of_an_exception_of_the_credentials_function_the_server_learns_the_class_alone(caplog):
    names = list(map(str, grid_of(3).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    grid, node = held_at("keys", options={"adversary": "active"}, roster=known[names[0]].roster)
    grid.apps[node] = client_app(mods=(SecAggMod(credentials=raising(FileNotFoundError(SECRET))),))
    reply = grid.ask(node, grid.held[node])
    assert reply.error.code == ErrorCode.MOD_FAILED_PRECONDITION  # the train function has not been called
    assert reply.error.reason == "FileNotFoundError: this client's own log says why"
    assert "secure aggregation: an exception outside the protocol" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_what_ends_the_process_is_not_swallowed(error, kind):
    grid, node = held_at("masked")
    grid.apps[node] = app_of(raising(error()))
    with pytest.raises(error):
        grid.ask(node, asked(grid, node, kind))


def test_a_strategy_sees_the_users_exception_as_a_loss_and_as_a_failed_evaluation():
    grid = grid_of(4)
    odd = next(iter(grid.apps))
    grid.apps[odd] = app_of(raising(ValueError(SECRET)))
    strategy = SecureAggregation(FedAvg(), weight_max=400)
    result = strategy.start(grid, model_record(), num_rounds=1)
    assert (strategy.outcomes[1].lost, strategy.outcomes[1].abstained) == ({str(odd): "masked"}, 0)
    assert dict(result.evaluate_metrics_clientapp[1]) == {"auc": 0.5}
    failed = [reply for reply in grid.replies if reply.has_error()]
    assert [reply.error.code for reply in failed] == [ErrorCode.CLIENT_APP_RAISED_EXCEPTION] * 2
    assert not any(SECRET in reply.error.reason for reply in failed)


def test_state_is_stored_before_the_reply_and_gone_after_the_last():
    grid, node = held_at("masked")
    assert set(grid.states[node]["secagg"]) == {"key", "record"}
    before = dict(grid.states[node]["secagg"])
    grid.ask(node, grid.held[node])
    after = grid.states[node]["secagg"]
    assert (after["key"], after["record"] != before["record"]) == (before["key"], True)
    grid, node = held_at("unmask")
    assert "secagg" in grid.states[node]
    assert grid.ask(node, grid.held[node]).has_content()
    assert "secagg" not in grid.states[node]


def test_the_same_ask_again_gets_the_same_bytes_whatever_is_trained_then():
    grid, node = held_at("masked")
    first = grid.ask(node, grid.held[node]).content["secagg.frames"]["reply"].data
    grid.apps[node] = client_app(mods=(SecAggMod(),), train=reply_of(metrics={"num-examples": 9}))
    assert grid.ask(node, grid.held[node]).content["secagg.frames"]["reply"].data == first


def test_an_earlier_ask_again_is_refused():
    grid, node = held_at("masked")
    grid.ask(node, grid.held[node])
    (shares,) = (m for m in grid.sent if m.metadata.dst_node_id == node and m.content["secagg"]["phase"] == "shares")
    assert refusal(grid, node, shares).startswith("WireError: a late copy of the ask of phase 'shares'")


def test_a_later_phase_first_is_refused():
    grid, node = held_at("masked")
    grid.states[node] = RecordDict()
    assert refusal(grid, node, grid.held[node]).startswith("StateError: this client is in no round")


def within(record, **changes):
    """Change fields of what the key lies beside."""
    fields = msgspec.msgpack.decode(record["record"]) | changes
    record["record"] = msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.update(key=bytes(32)),
        lambda record: record.update(key=b"short"),
        lambda record: record.update(key=7),
        lambda record: record.update(record=record["record"][:-1]),
        lambda record: within(record, state=b"no"),
        lambda record: within(record, terms=b"{}"),
        lambda record: within(record, parties="three"),
        lambda record: record.pop("record"),
        lambda record: record.pop("key"),
        lambda record: record.update(state=b""),
    ],
)
def test_damaged_memory_is_refused(damage):
    grid, node = held_at("masked")
    record = dict(grid.states[node]["secagg"])
    damage(record)
    grid.states[node]["secagg"] = ConfigRecord(record)
    reason = refusal(grid, node, grid.held[node])
    assert reason.startswith(("StateError", "ConfigError"))
    assert calls(grid, node) == 0


def test_a_damaged_ledger_is_refused():
    names = list(map(str, grid_of(3).apps))
    known = Credentials.generate(names, SeededEntropy("flower"))
    mod = SecAggMod(credentials=lambda context: known[str(context.node_id)])
    how = {"options": {"adversary": "active"}, "roster": known[names[0]].roster}
    for damaged in ({"opened": b"no"}, {"opened": 1}, {}):
        grid, node = held_at("unmask", mods=(mod,), node_config=WEIGHTS, **how)
        grid.states[node]["secagg.ledger"] = ConfigRecord(damaged)
        assert refusal(grid, node, grid.held[node]).startswith("StateError: record 'secagg.ledger'")


def test_another_nodes_memory_is_refused():
    grid, node = held_at("masked")
    other = list(grid.apps)[1]
    grid.states[node] = grid.states[other]
    assert "expected that of" in refusal(grid, node, grid.held[node])


@pytest.mark.parametrize(
    ("mod", "node_config", "server", "match"),
    [
        ({"policy": Policy(min_cohort=4)}, {}, {}, "a sum over 3 parties"),
        ({}, {"secagg-min-cohort": 4}, {}, "a sum over 3 parties"),
        ({"policy": Policy(min_cohort=4)}, {"secagg-min-cohort": 2}, {}, "a sum over 3 parties"),
        ({"policy": Policy(min_threshold=3)}, {}, {"options": {"threshold": 2}}, "2 shares open a secret"),
        ({}, {"secagg-min-threshold": 3}, {"options": {"threshold": 2}}, "2 shares open a secret"),
        ({}, {"secagg-min-cohort": "many"}, {}, "node configuration secagg-min-cohort is 'many'"),
        ({}, {"secagg-weights": "10,1000"}, {}, "weights 4..400: this party declares others"),
        (
            {"policy": Policy(weights=(4, 400))},
            {"secagg-weights": "3,400"},
            {},
            "node configuration secagg-weights is 3,400: this client's own app allows 4..400, expected a range inside",
        ),
        ({}, {"secagg-clip": "2.5,10"}, {}, "this party's policy allows 2.5..10"),
        ({"policy": Policy(clip=(0.1, 0.5))}, {"secagg-clip": "0.01,10"}, {}, "this party's policy allows 0.1..0.5"),
        ({"policy": Policy(clip={"bias": (2, 3)})}, {"secagg-clip": "0.1,10"}, {}, "this party's policy allows 2..3"),
        ({"policy": Policy(clip={"w": (2, 10)})}, {"secagg-clip": "5,10"}, {}, "this party's policy allows 5..10"),
        ({}, {"secagg-bits": "20,32"}, {}, "bits is 16: this party's policy allows 20..32"),
        ({"policy": Policy(bits=(2, 12))}, {"secagg-bits": "2,32"}, {}, "bits is 16: this party's policy allows 2..12"),
        (
            {"policy": Policy(bits=(2, 12))},
            {"secagg-bits": "16,32"},
            {},
            "node configuration secagg-bits is 16,32: this client's own app allows 2..12, expected a range that",
        ),
        ({"policy": Policy(clip={"w": (2, 3)})}, {"secagg-clip": "5,9"}, {}, "node configuration secagg-clip is 5,9"),
        ({}, {"secagg-weight-ratio": 20}, {}, "allows a ratio of 20 (Policy.weight_ratio)"),
        ({"policy": Policy(weight_ratio=20)}, {"secagg-weight-ratio": 200}, {}, "a ratio of 20 (Policy.weight_ratio)"),
        ({}, {"secagg-weight-ratio": 0}, {}, "node configuration secagg-weight-ratio is 0: expected an integer, 1 or"),
        ({}, {"secagg-levels": 400}, {}, "asks for 400 (Policy.levels)"),
        ({"policy": Policy(levels=400)}, {"secagg-levels": 2}, {}, "asks for 400 (Policy.levels)"),
        (
            {},
            {"secagg-bits": "32,16"},
            {},
            "node configuration secagg-bits is '32,16': expected the least and the most",
        ),
        (
            {},
            {"secagg-clip": "nan,1"},
            {},
            "node configuration secagg-clip is 'nan,1': expected the least and the most",
        ),
        ({}, {"secagg-bits": "16"}, {}, "node configuration secagg-bits is '16': expected the least and the most"),
        ({}, {"secagg-weights": 10}, {}, "node configuration secagg-weights is 10: expected the least and the most"),
        ({}, {"secagg-unusable": "loud"}, {}, "node configuration secagg-unusable is 'loud': expected one of"),
        (
            {},
            {"secagg-saturation": 1.5},
            {},
            "node configuration secagg-saturation is 1.5: expected a number in [0, 1]",
        ),
        ({"policy": Policy(max_dim=10)}, {}, {}, "this party's policy allows 10"),
        ({"protocols": ["secagg+"]}, {}, {}, "this client allows"),
        ({"scheme": PairwiseMasking(threshold=3)}, {}, {"options": {"threshold": 2}}, "another scheme"),
        ({}, {}, {"scheme": PairwiseMasking()}, "give this client an equal one"),
    ],
)
def test_what_a_client_does_not_agree_to(mod, node_config, server, match):
    grid, node = held_at("keys", mods=(SecAggMod(**mod),), node_config=node_config, **server)
    assert match in refusal(grid, node, grid.held[node])
    assert "secagg" not in grid.states[node]


def test_protocols_that_do_not_exist():
    with pytest.raises(ConfigError, match="'sekagg' is unknown"):
        SecAggMod(protocols=["sekagg"])


def test_a_stranger_to_the_session():
    grid, node = held_at("keys")
    grid.apps[5] = grid.apps[node]
    grid.states[5] = RecordDict()
    assert "UnknownParty" in refusal(grid, 5, grid.held[node])


def test_another_version_of_the_adapter_says_so():
    grid, node = held_at("keys")
    header = ConfigRecord({**grid.held[node].content["secagg"], "version": envelope.VERSION + 1})
    reason = refusal(grid, node, changed(grid.held[node], secagg=header))
    expected = f"version {envelope.VERSION + 1} of this adapter, expected {envelope.VERSION}"
    assert f"{expected}: install the same version of secagg" in reason


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ({"phase": "unmusk"}, "expected 'keys', whose frame it has"),
        ({"terms": b"{}"}, "not the terms"),
        ({"extra": 1}, "unknown field"),
    ],
)
def test_damaged_headers(header, match):
    grid, node = held_at("keys")
    damaged = ConfigRecord({**grid.held[node].content["secagg"], **header})
    assert match in refusal(grid, node, changed(grid.held[node], secagg=damaged))


def test_options_that_the_server_cannot_choose():
    grid, node = held_at("keys")
    invitation = Invitation.from_bytes(grid.held[node].content["secagg"]["terms"])
    terms = msgspec.structs.replace(invitation, options='{"x":1}').to_bytes()
    header = ConfigRecord({**grid.held[node].content["secagg"], "terms": terms})
    assert "options of 'secagg'" in refusal(grid, node, changed(grid.held[node], secagg=header))


VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=8), st.binary(max_size=8), st.floats())


@given(
    header=st.dictionaries(st.sampled_from(["version", "phase", "terms", "ahead", "x"]), VALUES),
    frames=st.dictionaries(st.sampled_from(["ask", "session", "reply", "prepared"]), st.binary(max_size=40)),
    known=st.booleans(),
)
def test_reading_is_total(header, frames, known):
    """Any records give an ask or a reply, or a SecaggError."""
    arrays = {name: envelope._array(data) for name, data in frames.items()}
    header = {**header, "version": envelope.VERSION} if known else header
    content = RecordDict({"secagg": ConfigRecord(header), "secagg.frames": ArrayRecord(arrays)})
    for read in (envelope.read_ask, envelope.read_reply):
        try:
            read(content)
        except SecaggError:
            continue


@given(st.binary(max_size=200))
def test_arrays_of_any_bytes_are_read_or_refused(data):
    array = envelope._array(b"")
    array.data = data
    try:
        assert isinstance(envelope._bytes(array), bytes)
    except WireError:
        return


def test_an_ask_round_trips():
    for ask in (Ask("keys", b"ask", b"terms", b"session"), Ask("masked", b"")):
        assert envelope.read_ask(envelope.ask_record(ask)) == ask
    with pytest.raises(PolicyRefused):
        envelope.read_ask(RecordDict())


@pytest.mark.parametrize("found", [None, "1.40.2", "1.42.0", "1.4", "2.41.0", "dev"])
def test_another_flower_is_a_clear_error(found):
    with pytest.raises(ConfigError, match=r"expected (flwr )?1\.41"):
        check_flower(found)


@pytest.mark.parametrize("found", ["1.41.0", "1.41.3", "1.41.0.dev1", FLOWER])
def test_this_flower(found):
    assert check_flower(found) == found


def test_nothing_prints_a_secret():
    grid, node = held_at("masked")
    key = grid.states[node]["secagg"]["key"]
    for message in grid.sent + grid.replies:
        assert key not in b"".join(a.data for r in message.content.array_records.values() for a in r.values())

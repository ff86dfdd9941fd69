"""All that a train function sees is classed in the table of docs/flower.md, and is what it is classed as."""

import re
from dataclasses import fields, is_dataclass
from inspect import getattr_static
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from federation import MODEL, RUN, model_record
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message.recorddict import RecordType

from secagg.adapters.flower import model, seen
from secagg.federation.context import model_digest

PAGE = Path(__file__).parents[3] / "docs" / "flower.md"
KINDS = ("Message", "Metadata", "Context", "RecordDict", "ArrayRecord", "ConfigRecord", "MetricRecord", "Array")
CLASSES = {"bound", "withheld", "the node's own", "derived"}
NODE = 2**63 + 11


def table():
    """{field: its class} as the page says it."""
    rows = re.findall(r"^\| ((?:`\w+\.\w+`(?:, )?)+) \| ([^|]+) \| ", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: how.strip() for names, how in rows for name in re.findall(r"`(\w+\.\w+)`", names)}


def metadata(**changed):
    plain = {"run_id": RUN, "message_id": "m", "src_node_id": 1, "dst_node_id": NODE, "reply_to_message_id": ""}
    plain |= {"group_id": "1", "created_at": 1.0, "ttl": 60.0, "message_type": "train"}
    return Metadata(**(plain | changed))


def content(**changed):
    return RecordDict({"arrays": model_record(), "config": ConfigRecord({"a": 1, "b": [0.5]}), **changed})


def message(records=None, **changed):
    return Message(content=content() if records is None else records, metadata=metadata(**changed))


def context(**changed):
    plain = {"run_id": RUN, "node_id": NODE, "node_config": {"part": 1}, "state": RecordDict(), "run_config": {"x": 1}}
    return Context(**(plain | changed))


EXAMPLES = {
    "Message": message(),
    "Metadata": metadata(),
    "Context": context(),
    "RecordDict": content(),
    "ArrayRecord": model_record(),
    "ConfigRecord": ConfigRecord({"a": 1}),
    "MetricRecord": MetricRecord({"a": 1}),
    "Array": Array(np.zeros(2)),
}


def fields_of(kind):
    """What is to be read of an object of that kind: attributes, fields and properties."""
    example = EXAMPLES[kind]
    found = {field.name for field in fields(example)} if is_dataclass(example) else set()
    if isinstance(example, Message | Metadata):  # the others keep theirs in fields, or give them as items
        found |= {name.lstrip("_") for name in vars(example)}
    kind = type(example)
    return found | {name for name in dir(kind) if isinstance(getattr_static(kind, name, None), property)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_flowers_is_classed(kind):
    classed = {name.partition(".")[2] for name in table() if name.startswith(f"{kind}.")}
    assert fields_of(kind) <= classed, "a field that the table of docs/flower.md does not class as bound or withheld"
    assert classed <= fields_of(kind) | {"items"}


def test_the_kinds_of_records_are_all():
    assert {kind.__name__ for kind in get_args(RecordType)} <= set(KINDS)
    assert set(table().values()) == CLASSES


def digest(message, context):
    """Of what a train function is handed."""
    given, mine = seen.handed(message, context, message.content)
    return seen.content_digest(given.metadata, mine.run_config, given.content)


BOUND = {
    "Metadata.run_id": (message(), context(run_id=RUN + 1)),
    "Metadata.group_id": (message(group_id="2"), context()),
    "Metadata.message_type": (message(message_type="train.other"), context()),
    "Context.run_id": (message(), context(run_id=RUN + 1)),
    "Context.run_config": (message(), context(run_config={"x": 1.0})),
    "RecordDict.items": (message(RecordDict(dict(reversed(content().items())))), context()),
    "ArrayRecord.items": (message(content(arrays=ArrayRecord(dict(reversed(model_record().items()))))), context()),
    "ConfigRecord.items": (message(content(config=ConfigRecord({"b": [0.5], "a": 1}))), context()),
    "MetricRecord.items": (message(content(config=MetricRecord({"a": 1, "b": [0.5]}))), context()),
    "Message.content": (message(content(more=MetricRecord())), context()),
}
ASKED = context()
ARRAY = {"dtype": "float32", "shape": (12,), "stype": "numpy.ndarray", "data": b"12 floats"}
BOUND |= {
    f"Array.{field}": tuple(
        (message(content(arrays=ArrayRecord({"w": Array(**one)}))), context())
        for one in (ARRAY, {**ARRAY, field: other})
    )
    for field, other in {"dtype": "float64", "shape": (3, 4), "stype": "other", "data": b"others"}.items()
}


@pytest.mark.parametrize("field", BOUND)
def test_what_is_bound_changes_the_digest(field):
    one, other = BOUND[field] if field.startswith("Array.") else ((message(), context()), BOUND[field])
    assert digest(*one) != digest(*other)
    assert digest(*one) == digest(*one)


def test_every_bound_field_is_put_to_the_test():
    assert set(BOUND) == {name for name, how in table().items() if how == "bound"}


VALUES = {
    RecordDict({"config": ConfigRecord({"a": value})})["config"]["a"].__repr__(): value
    for value in (1, True, 1.0, "1", b"1", [1], [1.0], ["1"], [True], 2)
}


@pytest.mark.parametrize("name", VALUES)
def test_a_configurations_values_are_bound_with_their_types(name):
    digests = {digest(message(content(config=ConfigRecord({"a": value}))), context()) for value in VALUES.values()}
    assert len(digests) == len(VALUES)


@pytest.mark.parametrize("name", MODEL)
def test_arrays_are_bound_by_name_dtype_shape_and_entries(name):
    array = MODEL[name]
    others = [array, array + 1, array.astype(np.float16), array.ravel()[:-1], array.reshape(-1, 1)]
    models = [model_record({**MODEL, name: other}) for other in others]
    models.append(ArrayRecord({other + "'" * (other == name): array for other, array in model_record().items()}))
    digests = {digest(message(content(arrays=arrays)), context()) for arrays in models}
    assert len(digests) == len(models)
    assert len({model_digest(model.numpy_arrays(arrays, "model")) for arrays in models}) == len(models)


LIES = {
    "message_id": "another",
    "src_node_id": 77,
    "src_task_id": 5,
    "dst_task_id": 6,
    "reply_to_message_id": "another",
    "created_at": 9e9,
    "ttl": 5.0,
    "dst_node_id": NODE + 1,
    "run_id": RUN + 1,
}


@pytest.mark.parametrize("field", LIES)
def test_what_is_withheld_is_the_same_whatever_the_server_says(field, monkeypatch):
    monkeypatch.setattr(seen, "now", lambda: _Clock)
    (one, _), (other, _) = (seen.handed(message(**lie), context(), content()) for lie in ({}, {field: LIES[field]}))
    assert one.metadata == other.metadata
    assert digest(message(), context()) == digest(message(**{field: LIES[field]}), context())


class _Clock:
    """The node's own."""

    @staticmethod
    def timestamp():
        return 1.5


def test_every_withheld_field_of_the_metadata_is_put_to_the_test():
    withheld = {name for name, how in table().items() if name.startswith("Metadata.") and how != "bound"}
    assert withheld == {f"Metadata.{name}" for name in set(LIES) - {"run_id"}} | {"Metadata.delivered_at"}


def test_what_a_message_carries_beside_its_fields_does_not_reach_the_function():
    sent = message()
    sent.metadata.__dict__["_more"] = sent.metadata.__dict__["_delivered_at"] = "a lie"
    sent.__dict__["_more"] = "a lie"
    given, mine = seen.handed(sent, context(series_id=9), content())
    assert "a lie" not in (*vars(given.metadata).values(), vars(given).get("_more"))
    assert mine.series_id == 0


def test_a_runs_configuration_comes_in_the_order_of_its_keys_and_the_state_is_the_nodes():
    run_config = {"z": 1, "a": 2}
    asked = context(run_config=run_config)
    _, mine = seen.handed(message(), asked, content())
    assert list(mine.run_config) == ["a", "z"]
    assert digest(message(), asked) == digest(message(), context(run_config={"a": 2, "z": 1}))
    assert mine.state is asked.state
    assert mine.node_config == asked.node_config


def test_a_ledger_knows_a_model_however_it_is_serialized():
    """Of the arrays alone: the records beside them, and the bytes in which NumPy writes them, are the server's."""
    plain = {name: np.asfortranarray(array) for name, array in MODEL.items()}
    records = [model_record(), model_record(plain)]
    assert records[0]["weights"].data != records[1]["weights"].data
    assert len({model_digest(model.numpy_arrays(record, "model")) for record in records}) == 1

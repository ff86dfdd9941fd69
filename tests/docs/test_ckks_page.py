"""The page of CKKS sums holds what the code holds: phases, steps, fields, sizes, parameters."""

import re
from importlib import import_module

import numpy as np
import pytest
from diagram import diagram
from pages import ROOT, rows

from secagg.scheme import Session
from secagg.testing import TestRound
from secagg.wire import frame
from secagg_protocols import CkksSum

PAGE = ROOT / "docs" / "protocol-ckks.md"
THREATS = ROOT / "docs" / "threat-model.md"
TYPES = [kind for phase in CkksSum.phases for kind in (phase.ask, phase.reply) if kind is not None]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_the_diagram_is_that_of_the_phases():
    assert f"```\n{diagram(CkksSum.phases)}```" in PAGE.read_text("utf-8")


@pytest.mark.parametrize("step", rows(PAGE, "## Phases"), ids=lambda step: step[0][:30])
def test_every_step_names_functions_that_exist(step):
    found = re.findall(r"`([\w/]+)\.py` `([\w.]+)`", step[2])
    assert found
    for path, name in found:
        package = "secagg" if path.startswith("primitives/") else "secagg_protocols"
        there = import_module(f"{package}.{path.replace('/', '.')}")
        for part in name.split("."):
            there = getattr(there, part)


def test_the_messages_have_these_fields():
    listed, message = {}, ""
    for first, field, *_ in rows(PAGE, "## Messages"):
        message = names(first)[0] if first else message
        listed.setdefault(message, []).extend(names(field))
    assert listed == {kind.__name__: list(kind.__struct_fields__) for kind in TYPES}


def test_the_sizes_are_those_of_a_round():
    """The formulas of the table against every frame of a round; MessagePack adds a few bytes a field."""
    n, dim = 9, 5000
    updates = {i: np.full(dim, i, np.uint16) for i in range(n)}
    scheme, session = CkksSum(), Session.create(range(n), updates[0])
    parameters, a = scheme.parameters(session), n
    place = {"n": n, "a": a, "dim": session.dim, "Q": parameters.modulus_bits, "b": session.ring.bits}
    place["blocks"] = parameters.blocks(session.dim)
    round_ = TestRound(scheme, session, updates)
    seen = {}
    while not round_.coordinator.done:
        phase = scheme.phases[len(seen) // 2]
        seen[phase.ask.__name__] = len(next(iter(round_.coordinator.asks().values())))
        round_.exchange()
        seen[phase.reply.__name__] = next(len(reply) for (at, _), reply in round_.sent.items() if at == phase.name)
        round_.coordinator.close_phase()
    for message, _, formula in rows(PAGE, "## Message sizes"):
        size = sum(value(term, place) for term in formula.split(" + "))
        assert -1 <= seen[names(message)[0]] - frame.HEADER_SIZE - size < 20, message


def value(term, place):
    """Such as "dim Q / 8": factors, then what they are divided by."""
    product, _, divisor = term.partition(" / ")
    factors = [place[word] if word in place else int(word) for word in product.split()]
    return np.prod(factors) / int(divisor or 1)


def test_the_parameters_are_those_of_sessions():
    table = rows(PAGE, "## Exact, with certainty")
    assert len(table) == 7
    for bits, clients, ring, modulus, scale, capacity, size in table:
        session = Session.create(range(int(clients)), np.zeros(4), bits=int(bits))
        found = CkksSum().parameters(session)
        told = [int(cell) for cell in (ring, modulus, scale, capacity)]
        assert told == [session.ring.bits, found.modulus_bits, found.scale, found.capacity]
        assert float(size) == round(found.modulus_bits / 8 + 64 / 4096, 2)


def test_every_statement_of_the_threat_model_names_a_test_that_exists():
    text = THREATS.read_text("utf-8").partition("\n## CKKS sums\n")[2].partition("\n## ")[0]
    table = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| who | ")]
    assert len(table) > 15
    for line in table:
        found = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert found or line.endswith("| by design |") or line == "| event | outcome | shown by |", line
        for path, test in found:
            assert f"def {test}(" in (ROOT / path).read_text("utf-8")

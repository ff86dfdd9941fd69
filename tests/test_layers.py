"""The house's floors, read from the imports: a module imports strictly lower floors, or its own package."""

import ast
from pathlib import Path

import pytest

import secagg
import secagg_protocols

FLOORS = {
    "errors": 0,
    "arguments": 0,
    "lazy": 0,
    "spans": 0,
    "kernels": 0,
    "primitives": 1,
    "encoding": 2,
    "wire": 3,
    "scheme": 4,
    "engine": 5,
    "api": 6,
    "testing": 7,
    "federation": 7,
    "fedavg": 8,
    "adapters": 10,
    "cli": 11,
}
SAME_FLOOR = {("kernels", "errors"), ("kernels", "spans"), ("arguments", "errors")}
ROOTS = [Path(package.__file__).parent for package in (secagg, secagg_protocols)]
NAMES_PROTOCOLS = {"federation", "adapters", "cli"}
"""What may turn a name into a scheme."""
ASKS_THE_SYSTEM = {"api", "testing"}
"""Where os.urandom may stand in a function's body; elsewhere it is the default of a parameter or a field."""


class Module:
    """One source file: its dotted name, syntax tree, and the room it belongs to."""

    def __init__(self, path, root):
        parts = path.relative_to(root.parent).with_suffix("").parts
        self.name = ".".join(part for part in parts if part != "__init__")
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.package = self.name if path.name == "__init__.py" else self.name.rpartition(".")[0]

    def __repr__(self):
        return self.name

    def imports(self):
        """Dotted names of all that is imported, `from a import b` as "a.b"."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    up = self.package.split(".")
                    base = ".".join([*up[: len(up) - node.level + 1], base]).strip(".")
                yield from (f"{base}.{alias.name}" for alias in node.names)


def modules():
    return [Module(path, root) for root in ROOTS for path in sorted(root.rglob("*.py"))]


MODULES = modules()
ENGINE = [module for module in MODULES if module.name.partition(".")[0] == "secagg" and module.name != "secagg"]
PROTOCOLS = [module for module in MODULES if module.name.startswith("secagg_protocols.") and "._" not in module.name]
"""Without the package's own modules, which know all protocols."""


def room(name):
    """The first part below the package: "secagg.wire.codec" is in "wire"."""
    return name.split(".")[1] if "." in name else ""


def forbidden_in_engine(module, imported):
    top, own = imported.partition(".")[0], room(module.name)
    if top == "secagg_protocols":
        return own not in NAMES_PROTOCOLS
    if top != "secagg":
        return False
    other = room(imported)
    if other not in FLOORS:  # `import secagg`, or a name of its interface: the whole of floor 6
        return FLOORS[own] <= FLOORS["api"]
    if other == own or (own, other) in SAME_FLOOR:
        return False
    return other == "testing" or FLOORS[other] >= FLOORS[own]


def forbidden_in_protocol(module, imported):
    top, other = imported.partition(".")[0], room(imported)
    if top == "secagg_protocols":
        return other != room(module.name)
    return top == "secagg" and FLOORS.get(other, 99) > FLOORS["scheme"]


def test_every_module_has_a_floor():
    assert {room(module.name) for module in ENGINE} <= set(FLOORS)
    assert len(ENGINE) > 30
    assert len(PROTOCOLS) > 8


@pytest.mark.parametrize("module", ENGINE, ids=repr)
def test_the_engine_imports_downwards(module):
    assert [name for name in module.imports() if forbidden_in_engine(module, name)] == []


@pytest.mark.parametrize("module", PROTOCOLS, ids=repr)
def test_a_protocol_imports_the_lower_floors_and_no_other_protocol(module):
    assert [name for name in module.imports() if forbidden_in_protocol(module, name)] == []


@pytest.mark.parametrize(
    ("name", "imported", "forbidden"),
    [
        ("secagg.wire.codec", "secagg.errors.WireError", False),
        ("secagg.wire.codec", "secagg.wire.frame", False),
        ("secagg.wire.codec", "secagg.scheme.Session", True),
        ("secagg.wire.codec", "secagg.Session", True),
        ("secagg.kernels.pack", "secagg.errors.WireError", False),
        ("secagg.kernels.pack", "secagg.spans.span", False),
        ("secagg.spans", "secagg.errors.LocalMisuse", True),
        ("secagg.kernels.pack", "secagg.primitives.prg", True),
        ("secagg.api.journal", "secagg_protocols.PairwiseMasking", True),
        ("secagg.fedavg.loop", "secagg.aggregate", False),
        ("secagg.fedavg.loop", "secagg.testing.SeededEntropy", True),
        ("secagg.fedavg.loop", "secagg.adapters.flower", True),
        ("secagg.fedavg.loop", "secagg_protocols.PROTOCOLS", True),
        ("secagg.fedavg.loop", "secagg.federation.client.Client", False),
        ("secagg.federation.round", "secagg.Coordinator", False),
        ("secagg.federation.round", "secagg.adapters.flower", True),
        ("secagg.federation.round", "secagg.fedavg.run", True),
        ("secagg.federation.choice", "secagg_protocols.PROTOCOLS", False),
        ("secagg.adapters.flower.mod", "secagg.federation.client.Client", False),
        ("secagg.adapters.flower.mod", "secagg.testing.SeededEntropy", True),
        ("secagg.cli.app", "secagg_protocols.PROTOCOLS", False),
        ("secagg.cli.app", "secagg.testing.SeededEntropy", True),
        ("secagg.cli.app", "secagg.fedavg.run", False),
    ],
)
def test_the_rule_tells_right_from_wrong(name, imported, forbidden):
    module = next(module for module in MODULES if room(module.name) == room(name))
    assert forbidden_in_engine(module, imported) is forbidden


@pytest.mark.parametrize(
    ("imported", "forbidden"),
    [
        ("secagg.scheme.Session", False),
        ("secagg.engine.Coordinator", True),
        ("secagg.Session", True),
        ("secagg_protocols.pairwise.graph", False),
        ("secagg_protocols.paillier.keys", True),
        ("numpy", False),
    ],
)
def test_the_rule_of_protocols_tells_right_from_wrong(imported, forbidden):
    module = next(module for module in PROTOCOLS if room(module.name) == "pairwise")
    assert forbidden_in_protocol(module, imported) is forbidden


@pytest.mark.parametrize("module", ENGINE, ids=repr)
def test_the_codec_stays_below_the_public_interface(module):
    """So a message type can stand in floors 3 to 5 and in protocols only."""
    if FLOORS[room(module.name)] > FLOORS["api"] and room(module.name) != "testing":
        assert [name for name in module.imports() if name.startswith("secagg.wire.codec")] == []


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_imports_stand_at_the_top(module):
    """Only the command defers imports, so that `secagg plan` need not load what `secagg fedavg` does."""
    if room(module.name) == "cli":
        return
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = [node for function in functions for node in ast.walk(function)]
    assert [ast.unparse(node) for node in inner if isinstance(node, ast.Import | ast.ImportFrom)] == []


OUTSIDE = {"asyncio", "datetime", "flwr", "http", "nvflare", "os", "pathlib", "socket", "ssl", "threading", "time"}
"""Frameworks, sockets, files and clocks."""


@pytest.mark.parametrize("module", [module for module in ENGINE if room(module.name) == "federation"], ids=repr)
def test_federation_leaves_the_transport_to_others(module):
    assert {name.partition(".")[0] for name in module.imports()}.isdisjoint(OUTSIDE)


BANNED = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
"""They run code from the bytes that they read."""


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_nothing_is_pickled(module):
    assert {name.partition(".")[0] for name in module.imports()}.isdisjoint(BANNED)
    allowed = [node.arg for node in ast.walk(module.tree) if isinstance(node, ast.keyword)]
    assert "allow_pickle" not in allowed


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_no_module_draws_from_random(module):
    if room(module.name) != "testing":
        assert "random" not in {name.partition(".")[0] for name in module.imports()}
    if module not in ENGINE or FLOORS[room(module.name)] <= FLOORS["api"]:
        names = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
        assert {name for name in names if name.startswith(("np.random", "numpy.random"))} == set()


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_entropy_is_a_parameter(module):
    if room(module.name) in ASKS_THE_SYSTEM and module in ENGINE:
        return
    assert not {"os.urandom", "secrets"} & set(module.imports())
    uses = [node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute) and node.attr == "urandom"]
    arguments = [node for node in ast.walk(module.tree) if isinstance(node, ast.arguments)]
    defaults = [default for node in arguments for default in (*node.defaults, *node.kw_defaults)]
    defaults += [node.value for node in ast.walk(module.tree) if isinstance(node, ast.AnnAssign)]
    assert all(any(use is default for default in defaults) for use in uses)

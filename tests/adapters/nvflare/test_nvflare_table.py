"""The page says of all that a server sends whether it is bound or withheld; what NVFLARE adds has to be classed too."""

import inspect
import re
from pathlib import Path

import pytest
from nvflare.apis.dxo import DXO, MetaKey
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.shareable import ReservedHeaderKey
from nvflare.app_common.abstract.fl_model import FLModel

from secagg.adapters.nvflare import model

PAGE = Path(__file__).parents[3] / "docs" / "nvflare.md"
CLASSES = {"bound", "withheld", "the site's own", "the job's", "nobody's", "a listener's"}


def classed(text: str) -> dict[str, str]:
    """{name: class} of the page's tables. Raises AssertionError for a name that stands there twice."""
    (section,) = re.findall(r"^## What reaches a training script\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    found = {}
    for row in re.findall(r"^\|(.*)\|$", section, re.MULTILINE):
        names, kind, _ = (cell.strip() for cell in row.split("|"))
        for name in re.findall(r"`(\w+\.\w+)`", names):
            assert name not in found
            found[name] = kind
    return found


def constants(kind: type) -> set[str]:
    return {f"{kind.__name__}.{name}" for name in dir(kind) if name.isupper()}


def fields(kind: type) -> set[str]:
    return {f"{kind.__name__}.{name}" for name in list(inspect.signature(kind.__init__).parameters)[1:]}


WHAT_NVFLARE_HAS = {
    "headers": constants(ReservedHeaderKey),
    "DXO": fields(DXO),
    "meta": constants(MetaKey),
    "FLModel": fields(FLModel),
    "FLContext": constants(FLContextKey),
}


@pytest.mark.parametrize("what", WHAT_NVFLARE_HAS)
def test_all_that_nvflare_has_is_classed(what):
    kinds = {name.partition(".")[0] for name in WHAT_NVFLARE_HAS[what]}
    found = {name for name in classed(PAGE.read_text("utf-8")) if name.partition(".")[0] in kinds}
    assert found == WHAT_NVFLARE_HAS[what]


def test_a_name_that_the_page_lacks_is_found():
    lacking = PAGE.read_text("utf-8").replace("`ReservedHeaderKey.PASS_THROUGH`", "")
    assert constants(ReservedHeaderKey) - set(classed(lacking)) == {"ReservedHeaderKey.PASS_THROUGH"}


def test_the_page_and_the_filter_say_the_same():
    said = classed(PAGE.read_text("utf-8"))
    assert set(said.values()) <= CLASSES
    for name in constants(ReservedHeaderKey):
        key = getattr(ReservedHeaderKey, name.partition(".")[2])
        assert (said[name] == "withheld") == (key in model.WITHHELD), name

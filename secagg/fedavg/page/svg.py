"""Matplotlib figures as inline SVG that follows the page: its colours, its font, its dark mode.

A figure is drawn in placeholder colours, one for each `Ink`. In the SVG they become the page's CSS
variables, so one drawing serves light, dark and print. Nothing else of Matplotlib's document survives: no
metadata, no style sheet, no namespace or address, no id that a second figure on the page could repeat.
"""

import io
import re
from enum import StrEnum
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

_DROPPED = {"metadata", "style"}
_XLINK = "{http://www.w3.org/1999/xlink}href"


class Ink(StrEnum):
    """A colour of the page; the value is the placeholder that Matplotlib draws with."""

    TEXT = "#010101"
    MUTED = "#010102"
    GRID = "#010103"
    SECURE = "#010104"
    PLAIN = "#010105"
    CENTRALIZED = "#010106"
    ALONE = "#010107"
    VOID = "#010108"
    CLIENT = "#010109"
    SERVER = "#01010a"

    @property
    def css(self) -> str:
        """The page's variable for this colour."""
        return f"var(--{self.name.lower()})"


_CSS = {ink.value: ink.css for ink in Ink}
_PLACEHOLDER = re.compile("|".join(_CSS))


def inline(figure: Figure, label: str) -> Markup:
    """The figure as one `<svg>` element for an HTML page; the same figure and label give the same text.

    `label` describes the picture to those who cannot see it, and keeps apart the ids of two figures.
    """
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": label, "svg.fonttype": "none"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(written.getvalue())  # noqa: S314  # our own drawing; names in it are escaped by Matplotlib
    _strip(root)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  # serialised above, with every name escaped


def _strip(element: ET.Element) -> None:
    element.tag = _local(element.tag)
    if _XLINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(_XLINK)
    if element.tag == "g":
        element.attrib.pop("id", None)
    if "style" in element.attrib:
        element.attrib["style"] = _PLACEHOLDER.sub(lambda ink: _CSS[ink[0]], element.attrib["style"])
    for child in list(element):
        if _local(child.tag) in _DROPPED:
            element.remove(child)
        else:
            _strip(child)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]

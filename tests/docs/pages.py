"""The documents as tests see them: fenced blocks, tables, links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)

_FENCE = re.compile(r"^```(\w*)\s*$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: what stands after the opening fence.
        text: its lines.
        line: number of its first line in the page.
        prints: of a python block, the text block that follows with nothing between them: what it must print.
    """

    language: str
    text: str
    line: int
    prints: str | None = None


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in order."""
    found: list[Block] = []
    between = ""
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            between += line.strip()
            continue
        body = []
        for _, inner in lines:
            if inner.startswith("```"):
                break
            body.append(inner)
        else:
            raise AssertionError(f"{name(page)}:{number}: fence without an end")
        block = Block(fence[1], "".join(f"{inner}\n" for inner in body), number + 1)
        if block.language == "text" and found and found[-1].language == "python" and not between:
            found[-1] = Block("python", found[-1].text, found[-1].line, block.text)
        else:
            found.append(block)
        between = ""
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    kept, inside = [], False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def links(page: Path) -> list[str]:
    """Targets of all links and images."""
    return _LINK.findall(_CODE.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """Anchors of the page's headings, as forges make them: lower case, punctuation dropped, spaces to hyphens."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(page))}


def rows(page: Path, heading: str) -> list[list[str]]:
    """Cells of the first table under `heading`, without its head."""
    after = f"\n{page.read_text('utf-8')}".split(f"\n{heading}\n", 1)
    assert len(after) == 2, f"{name(page)} has no heading {heading!r}"
    table = re.search(r"(?:^\|.*\n)+", after[1] + "\n", re.MULTILINE)
    return [] if table is None else _cells(table[0])[1:]


def tables(page: Path) -> list[list[list[str]]]:
    """Cells of every table of the page, its head first."""
    return [_cells(table) for table in re.findall(r"(?:^\|.*\n)+", page.read_text("utf-8"), re.MULTILINE)]


def _cells(table: str) -> list[list[str]]:
    """Row by row, without the line of dashes below the head."""
    head, _, *body = table.splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in (head, *body)]

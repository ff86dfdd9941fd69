"""Draws the diagram of a protocol's phases from its table: `python tests/docs/diagram.py` prints it."""

import sys

from secagg.scheme import Phase
from secagg.wire.codec import Message
from secagg_protocols import CkksSum, PairwiseMasking


def diagram(phases: tuple[Phase, ...]) -> str:
    """One line an ask, one a reply, with the fields of each."""
    arrow = max(len(_call(phase.ask)) for phase in phases) + 2
    lines = [f"{'phase':<12} {'server':<{arrow}}     client"]
    for phase in phases:
        given = " the client's vector goes in" if phase.takes_input else ""
        lines.append(f"{phase.name:<12} {_call(phase.ask):<{arrow}} -->{given}")
        if phase.reply is not None:
            lines.append(f"{'':<12} {'':<{arrow}} <-- {_call(phase.reply)}")
    return "".join(f"{line}\n" for line in lines)


def _call(message: type[Message]) -> str:
    return f"{message.__name__}({', '.join(message.__struct_fields__)})"


if __name__ == "__main__":
    for adversary in ("passive", "active"):
        sys.stdout.write(f"{diagram(PairwiseMasking(adversary=adversary).phases)}\n")
    sys.stdout.write(diagram(CkksSum().phases))

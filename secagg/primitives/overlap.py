"""Two kinds of work at once: one that holds the interpreter's lock, and one that does not."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def use_while_making(batches: Iterable[T], use: Callable[[T], None]) -> None:
    """Call `use` on each batch, in order, in a thread of its own, while the next batch is made.

    Gains where making holds the interpreter's lock (X25519 does) and using does not (mask kernels). At most two
    batches exist at any time, the one in use and the one being made.

    Args:
        batches: made one by one, in the caller's thread.
        use: never runs twice at once. After it has raised, no further batch is used.

    Raises:
        Whatever making or using raises, once the batch in use is done with.
    """
    with ThreadPoolExecutor(1) as pool:
        in_use: Future[None] | None = None
        for batch in batches:
            if in_use is not None:
                in_use.result()
            in_use = pool.submit(use, batch)
        if in_use is not None:
            in_use.result()

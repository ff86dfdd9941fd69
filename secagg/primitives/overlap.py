"""Two kinds of work at once: one that holds the interpreter's lock, and one that does not."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def use_while_making(makes: Sequence[Callable[[], T]], use: Callable[[T], object]) -> None:
    """Make batches, one by one, and use each of them in another thread while the next is made.

    Gains where making holds the interpreter's lock (X25519 does) and using does not (mask kernels). At most two
    batches exist at any time, the one in use and the one being made. A single batch is used by the caller's thread:
    there is nothing to overlap it with.

    Args:
        makes: each makes one batch, in the caller's thread.
        use: gets the batches in order, never two at once. After it has raised, it gets no other.

    Raises:
        Whatever making or using raises, once the batch in use is done with.
    """
    if len(makes) < 2:
        for make in makes:
            use(make())
        return
    with ThreadPoolExecutor(1) as pool:
        in_use: Future[object] | None = None
        for make in makes:
            batch = make()
            if in_use is not None:
                in_use.result()
            in_use = pool.submit(use, batch)
        if in_use is not None:
            in_use.result()

"""Every task of a site passes here: one at a time, before any filter on its way in and after all on its way out."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

Process = Callable[[Any, FLContext], Shareable]


class TaskGate:
    """Takes the place of a ClientRunner's `_process_task`.

    NVFLARE runs tasks that the server pushes (`ReservedTopic.DO_TASK`) beside the one that the site has fetched, and a
    training script could get the model of the one in the name of the other. So a second task is turned away.

    Server and site find back to a task by its cookies. Filters and executor get none, and the reply gets them here.

    Args:
        process: the method whose place this takes.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._at_work = Lock()

    def __call__(self, task: Any, fl_ctx: FLContext) -> Shareable:
        """The reply to a `TaskAssignment`."""
        if not self._at_work.acquire(blocking=False):
            return make_reply(ReturnCode.SERVICE_UNAVAILABLE)
        try:
            cookies = task.data.get_cookie_jar()
            reply = self._process(task, fl_ctx)
            reply.set_cookie_jar(cookies)
            return reply
        finally:
            self._at_work.release()

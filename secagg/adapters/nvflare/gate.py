"""Every task of a site passes here: one at a time, before any filter on its way in and after all on its way out."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

Process = Callable[[Any, FLContext], Shareable]


class TaskGate:
    """Takes the place of a ClientRunner's `_process_task`.

    NVFLARE runs tasks that the server pushes (`ReservedTopic.DO_TASK`) beside the one that the site has fetched, and a
    training script could get the model of the one in the name of the other. So a second task is turned away.

    Server and site find back to a task by its cookies, its id and their session's. Filters and executor get neither
    cookies nor session (`SecAggTaskFilter` withholds the id); what sends the reply gets them back here.

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
            return self._one(task, fl_ctx)
        finally:
            self._at_work.release()

    def _one(self, task: Any, fl_ctx: FLContext) -> Shareable:
        cookies, session = task.data.get_cookie_jar(), fl_ctx.get_prop(FLContextKey.SSID)
        fl_ctx.set_prop(FLContextKey.SSID, None, private=True, sticky=False)
        reply = self._process(task, fl_ctx)
        reply.set_cookie_jar(cookies)
        fl_ctx.set_prop(FLContextKey.SSID, session, private=True, sticky=False)
        fl_ctx.set_prop(FLContextKey.TASK_ID, task.task_id, private=True, sticky=False)
        return reply

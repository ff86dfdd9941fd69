"""What of a server reaches a site's components: its tasks, before any filter and after all, and its events."""

from collections.abc import Callable, Collection
from threading import Lock
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import EventScope, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

OWN_EVENTS = frozenset(value for name, value in vars(EventType).items() if name.isupper())
"""What NVFLARE calls the steps of a run."""
Process = Callable[[Any, FLContext], Shareable]


class TaskGate:
    """Takes the place of a ClientRunner's `_process_task`.

    NVFLARE runs tasks that the server pushes (`ReservedTopic.DO_TASK`) beside the one that the site has fetched, and a
    training script could get the model of the one in the name of the other. So a second task is turned away.

    Server and site find back to a task by its cookies, its id and their session's. Filters and executor get neither
    cookies nor session (`SecAggTaskFilter` withholds the id); what sends the reply gets them back here.

    Whatever a job's executors take by "*" has no filter of ours, so tasks of other names are turned away too. It is
    closed until it is opened.

    Args:
        process: the method whose place this takes.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._names: Collection[str] | None = frozenset()
        self._at_work = Lock()

    def open_to(self, names: Collection[str] | None) -> None:
        """Let tasks of these names pass; None for all."""
        self._names = names

    def __call__(self, task: Any, fl_ctx: FLContext) -> Shareable:
        """The reply to a `TaskAssignment`."""
        if self._names is not None and task.name not in self._names:
            return make_reply(ReturnCode.TASK_UNKNOWN)
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


class EventGate:
    """Takes the place of an engine's `fire_event`: no event of the server's bears one of NVFLARE's own names.

    A server can send any, to one site alone. By START_RUN in the midst of training NVFLARE's script executor runs a
    second copy of the script, whose late result counts in the next round.

    Args:
        fire: the method whose place this takes.
    """

    def __init__(self, fire: Callable[[str, FLContext], object]) -> None:
        self._fire = fire
        self._open = False

    def open(self) -> None:
        """Let all pass."""
        self._open = True

    def __call__(self, event_type: str, fl_ctx: FLContext) -> None:
        """Fire the event, unless it came from elsewhere under a name of NVFLARE's own."""
        local = fl_ctx.get_prop(FLContextKey.EVENT_SCOPE, EventScope.LOCAL) == EventScope.LOCAL
        if self._open or local or event_type not in OWN_EVENTS:
            self._fire(event_type, fl_ctx)

"""What a user gets, in a few words: the same words for hooks, tasks, triggers and the connection test."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_avala.api.errors import AvalaError, error_from_response, is_fatal

RECOVERS = "recovers"
WAITS = "keeps waiting"
AS_IT_IS = "returns it as it is"
FAILS, LATER, LOOK = "fails at once", "retry later", "look first"
SAYS, ACCEPTS = "says", "accepts the key, and says"


def fails(error: str) -> str:
    """The call or the task ends, and no retry can mend it."""
    return f"{FAILS}: {error}"


def later(error: str) -> str:
    """The call or the attempt of the task ends, and a later one can mend it."""
    return f"{LATER}: {error}"


def look(error: str) -> str:
    """The call ends, and says that what was asked for may have been done."""
    return f"{LOOK}: {error}"


def says(words: str) -> str:
    """The test of the connection says so, in words that these are among."""
    return f"{SAYS}: {words}"


def accepts(words: str) -> str:
    """The test of the connection passes, with words that these are among."""
    return f"{ACCEPTS}: {words}"


def ending(do: Callable[[], Any], *, is_task: bool) -> tuple[str, Any]:
    """How a task, a trigger or a call ends: the outcome, and what it returned or raised."""
    try:
        found = do()
    except AirflowFailException as error:
        return fails(_named(error)), error
    except AirflowSensorTimeout as error:
        return WAITS, error
    except AvalaError as error:
        if is_fatal(error):
            return fails(_named(error)), error
        return (later if is_task or not _may_be_done(error) else look)(_named(error)), error
    except AirflowException as error:
        return later(_named(error)), error
    return RECOVERS, found


def of_event(event: Any) -> str:
    """What a trigger's event means for the task that it wakes."""
    if event["status"] != "error":
        return {"finished": RECOVERS, "timeout": WAITS}[event["status"]]
    return (fails if event["fatal"] else later)(_class_in(event["message"]))


def _may_be_done(error: AvalaError) -> bool:
    """Whether the words of an error, and not only its type, tell that somebody has to look."""
    return bool(re.search(r"may or may not|is unknown", str(error)))


def _named(error: BaseException) -> str:
    cause = error if isinstance(error, AvalaError) else error.__cause__
    return type(cause).__name__ if isinstance(cause, AvalaError) else _class_in(str(error))


def _class_in(message: str) -> str:
    status = re.search(r"failed: (\d{3}) ", message)
    assert status, message
    return type(error_from_response(int(status[1]), {}, b"", method="GET", path="/")).__name__

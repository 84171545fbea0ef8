"""The key's limits, kept by every host through Redis (extra ``redis``).

The same bookings as in the file ring, as a list with the newest first, and the same rule as
:func:`limits.next_slot`, as a script that Redis runs atomically: one round trip for each booking. All times are those
of the Redis server, so the clocks of the hosts do not matter; a waiter gets the length of its wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_avala.api.booking import Booking, BookingLimiter, Ledger
from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaConnectionError
from airflow_provider_avala.api.limits import MARGIN, MAX_PAUSE, MAX_WAIT, Limit
from airflow_provider_avala.api.secrets import redact
from airflow_provider_avala.api.state_dir import digest

#: Seconds that Redis may take to accept a connection or to answer.
_PATIENCE = 5.0
_MICRO = 1_000_000

# Numbers are whole microseconds; Lua would write large ones in short, so they are formatted by hand.
_COMMON = f"""
local time = redis.call('TIME')
local now = time[1] * {_MICRO} + time[2]
local state = redis.call('HMGET', KEYS[2], 'blocked', 'announced')
local blocked = tonumber(state[1]) or 0
local announced = tonumber(state[2]) or 0
if blocked > now + {MAX_PAUSE * _MICRO:.0f} then blocked = 0 end
local function text(number) return string.format('%.0f', number) end
local function keep(field, value)
  redis.call('HSET', KEYS[2], field, text(value))
  redis.call('PEXPIRE', KEYS[2], {MAX_WAIT * 1000:.0f})
end
"""

# ARGV: longest wait, then requests and window of each limit, the longest window first.
_BOOK = (
    _COMMON
    + f"""
local function booked(n)
  local at = tonumber(redis.call('LINDEX', KEYS[1], n - 1))
  if at and at <= now + {MAX_WAIT * _MICRO:.0f} then return at end
  return 0
end
local at, size = math.max(now, blocked, booked(1)), 0
for i = 2, #ARGV, 2 do
  local requests, window = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  size = math.max(size, requests)
  if i == 2 and announced > 0 then requests = math.min(requests, announced) end
  at = math.max(at, booked(requests) + window)
end
local wait = at - now
if wait > tonumber(ARGV[1]) then return {{'', text(wait), announced}} end
redis.call('LPUSH', KEYS[1], text(at))
redis.call('LTRIM', KEYS[1], 0, size - 1)
redis.call('PEXPIRE', KEYS[1], text(math.ceil((wait + tonumber(ARGV[3])) / 1000) + 1000))
return {{text(at), text(wait), announced}}
"""
)

_PAUSE = _COMMON + "keep('blocked', math.max(blocked, now + tonumber(ARGV[1])))"

_ANNOUNCE = _COMMON + "keep('announced', tonumber(ARGV[1]))"

_READ = _COMMON + "return {text(now), text(blocked), announced, redis.call('LRANGE', KEYS[1], 0, -1)}"

_IS_WITHDRAWN = _COMMON + "return blocked > math.max(now, tonumber(ARGV[1]))"


class RedisRing(BookingLimiter):
    """Keeps the limits of one key for all hosts that use the same Redis.

    Every method raises AvalaConnectionError while Redis cannot be used, and AvalaConfigurationError if it refuses the
    credentials.

    :param owner: a digest that stands for base URL, key and endpoint class.
    :param limits: the limits to keep, all of them at once.
    :param url: ``redis://``, ``rediss://`` or ``unix://`` URL; its query may hold options of redis-py.
    :param clock: measures this host's waits.
    :param margin: seconds by which each window is kept longer.
    :raises AvalaConfigurationError: if the URL cannot be used, or redis-py is not installed.
    """

    def __init__(
        self,
        owner: str,
        limits: Sequence[Limit],
        url: str,
        clock: Clock = SYSTEM_CLOCK,
        margin: float = MARGIN,
    ) -> None:
        super().__init__(sorted(limits, key=lambda limit: -limit.seconds), clock, margin)
        self._redis = _redis_py()
        self.address, self._password = _without_password(url)
        client = _connect(self._redis, url)
        self._scripts = {
            lua: client.register_script(lua) for lua in (_BOOK, _PAUSE, _IS_WITHDRAWN, _ANNOUNCE, _READ)
        }
        name = f"airflow-provider-avala:{{{digest(owner, *self.limits)}}}"
        self._keys = [f"{name}:slots", f"{name}:state"]
        self._windows = [
            number for limit in self.limits for number in (limit.requests, _micro(limit.seconds + margin))
        ]

    @property
    def kept_in(self) -> str:
        """Where the bookings are kept, for people."""
        return f"{self.address} (shared by every host that uses it)"

    def pause(self, seconds: float) -> None:
        """See :meth:`Limiter.pause`."""
        self._run(_PAUSE, _micro(min(seconds, MAX_PAUSE)))

    def _book(self, timeout: float) -> Booking:
        at, wait, self._announced = self._run(_BOOK, _micro(timeout), *self._windows)
        seconds = int(wait) / _MICRO
        if not at:
            raise self._too_long(seconds, timeout)
        # Counted from now, not from before the round trip: rather late by half of it than early.
        return Booking(int(at), self._clock.monotonic() + seconds if seconds else 0.0)

    def _is_withdrawn(self, at: float) -> bool:
        return bool(self._run(_IS_WITHDRAWN, int(at)))

    def _store_announcement(self, requests: int) -> None:
        self._run(_ANNOUNCE, requests)

    def _read(self) -> Ledger:
        now, blocked, announced, slots = self._run(_READ)
        booked = [int(at) / _MICRO for at in reversed(slots)]
        return Ledger(int(now) / _MICRO, booked, int(blocked) / _MICRO, announced)

    def _run(self, lua: str, *arguments: int) -> Any:
        """Have Redis run a script: by its digest, and with its text only if Redis does not know it yet."""
        try:
            return self._scripts[lua](keys=self._keys, args=arguments)
        except (self._redis.AuthenticationError, self._redis.exceptions.NoPermissionError) as error:
            raise AvalaConfigurationError(
                f"rate_limit_store: {self.address} refuses the credentials in the URL: {self._safe(error)}"
            ) from None
        except self._redis.RedisError as error:
            raise AvalaConnectionError(
                f"rate_limit_store: {self.address} cannot be used: {self._safe(error)};"
                " check that it runs and that this host can reach it",
                sent=False,
            ) from None

    def _safe(self, error: Exception) -> str:
        return redact(str(error).rstrip("."), self._password) or type(error).__name__


def _micro(seconds: float) -> int:
    return round(seconds * _MICRO)


def _redis_py() -> ModuleType:
    try:
        return import_module("redis")
    except ImportError:
        raise AvalaConfigurationError(
            "rate_limit_store: a Redis URL needs redis-py: pip install 'airflow-provider-avala[redis]'"
        ) from None


def _without_password(url: str) -> tuple[str, str]:
    """The address for people, and the password that must not appear."""
    try:
        parts = urlsplit(url)
        place = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}{parts.path}"
    except ValueError:
        raise AvalaConfigurationError(
            "rate_limit_store: the Redis URL has a port that is no number"
        ) from None
    return f"{parts.scheme}://{place}", parts.password or ""


def _connect(redis: ModuleType, url: str) -> Any:
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            # Once, at once: a connection that Redis closed while it was idle is replaced.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
        )
        client.connection_pool.make_connection()  # connects to nothing, but looks at the options
        return client
    except (ValueError, TypeError) as error:
        problem = type(error).__name__ if "://" in str(error) else str(error)
        raise AvalaConfigurationError(f"rate_limit_store: the Redis URL cannot be used: {problem}") from None

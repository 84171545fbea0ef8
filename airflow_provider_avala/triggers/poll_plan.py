"""When to look at what is waited for, and whether to read the list or to ask one by one: pure decisions.

No clock, no loop and no HTTP: every decision depends on its arguments alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from airflow_provider_avala.api.limits import Limit

#: A page of the list weighs as much as so many single asks: one request each for the key's budget, but more work for
#: the server. So lists begin where more than this many are waited for.
PAGE_WEIGHT = 2
#: Single asks in one go; the rest has its turn in the next, so that nobody waits behind a long line of them.
MOST_ASKS = 10
#: Shorter poll intervals than this many seconds are kept as this one.
SHORTEST_INTERVAL = 0.01
#: The depth of what the list was seen not to show, or only deeper than it is worth reading.
NOT_LISTED = math.inf


class Due(Protocol):
    """What is waited for, as far as its turn is concerned."""

    id: str
    due: float


AnyDue = TypeVar("AnyDue", bound=Due)


def next_look(begin: float, interval: float, phase: float) -> float:
    """When to look again at what was looked at in a round.

    All that share an interval are due at the same moments, because one page then serves them all. The first interval
    is stretched or cut by up to a half to get there, all others are kept.

    :param begin: when the round began that looked at it.
    :param interval: seconds between two looks.
    :param phase: from 0 to 1; chosen at random by each poller, so that two pollers do not ask at the same time.
    """
    interval = max(interval, SHORTEST_INTERVAL)
    earliest = begin + interval / 2
    return earliest + (phase * interval - earliest) % interval


def worth_another_page(read: int, depths: Collection[float]) -> bool:
    """Whether to read on in the list, newest first, for what is due and was not on the pages read so far.

    It is worth it as long as some number of further pages is expected to show more than asking would cost. What was
    never looked for, or has moved deeper since it was seen, is expected on the next page, but only for as long as the
    pages read in vain for it cost less than asking for all that is lost: so a walk costs twice the best way at most.

    :param read: how many pages were read.
    :param depths: for each one that is due and unseen, the page that showed it last, 0 if it was never looked for,
        :data:`NOT_LISTED` if it was, in vain.
    """
    lost = sum(depth <= read for depth in depths)
    expected = sorted(
        max(depth, read + 1) for depth in depths if depth > read or PAGE_WEIGHT * (read - depth) < lost
    )
    return any(shown > PAGE_WEIGHT * (page - read) for shown, page in enumerate(expected, 1))


def depth_after(read: int, depth: float) -> float:
    """Where to expect what a walk through the list has not shown.

    :param read: how many pages the walk has read.
    :param depth: where it was expected before.
    """
    return NOT_LISTED if depth <= read and read else depth


def deserve_another_walk(not_listed: int, given_up: int) -> bool:
    """Whether to look into the list once more for what it did not show: twice as many justify a walk twice as long.

    :param not_listed: how many are of depth :data:`NOT_LISTED` by now.
    :param given_up: how many there were when they were last looked for.
    """
    return not_listed > 2 * given_up


def to_ask(unseen: Iterable[AnyDue]) -> list[str]:
    """The ids to ask for one by one now, those that are longest overdue first.

    :param unseen: what is due and was not in the list.
    """
    return list(dict.fromkeys(each.id for each in sorted(unseen, key=lambda each: each.due)))[:MOST_ASKS]


def seconds_per_request(limits: Sequence[Limit], share: float) -> float:
    """How far apart a poller's requests have to be, on average, to stay within its share of the key's limits.

    :param limits: the key's limits.
    :param share: the part of them that polls may use.
    """
    return max(limit.seconds / limit.requests for limit in limits) / share

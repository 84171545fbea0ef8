"""Events: what happens is told to the webhooks and the agents that asked for it."""

from __future__ import annotations

import copy
import uuid
from typing import Any

from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.outbox import Outbox, Outcome
from airflow_provider_avala.emulator.resources_work import (
    AGENT_EXECUTIONS,
    AGENTS,
    WEBHOOK_DELIVERIES,
    WEBHOOKS,
)
from airflow_provider_avala.emulator.schema import Record
from airflow_provider_avala.emulator.store import Store
from airflow_provider_avala.emulator.timeline import Timeline

RETRY_AFTER = (5.0, 30.0, 300.0)  # seconds of the emulator's clock after the first, second, third attempt


def headers_of(event: str, delivery: str) -> dict[str, str]:
    """Build the headers of a message, besides its signature."""
    return {"X-Avala-Webhook-Event": event, "X-Avala-Webhook-Delivery": delivery}


class Events:
    """Delivers events: at once, again after a failure, and with a record of every attempt."""

    def __init__(self, store: Store, timeline: Timeline) -> None:
        self.store = store
        self.timeline = timeline
        self.outbox = Outbox()

    def emit(self, event: str, payload: Json) -> None:
        """Tell everybody who is subscribed and active."""
        payload = copy.deepcopy(payload)
        for webhook in self.store.among(WEBHOOKS, is_active=True):
            if event in webhook["events"]:
                self.deliver(webhook, event, payload)
        for agent in self.store.among(AGENTS, is_active=True):
            if event in agent["events"]:
                self.execute(agent, event, payload)

    def deliver(self, webhook: Record, event: str, payload: Json) -> Record:
        """Make a delivery to one webhook and start on it."""
        delivery = self.store.insert(
            WEBHOOK_DELIVERIES,
            {
                "subscription": webhook["uid"],
                "event_type": event,
                "payload": payload,
                "response_status": None,
                "attempts": 0,
                "next_retry_at": None,
                "status": "pending",
            },
        )
        self._attempt(webhook, delivery)
        return delivery

    def _attempt(self, webhook: Record, delivery: Record) -> None:
        if not self.store.known(WEBHOOKS, webhook["uid"]) or delivery["status"] != "pending":
            return
        self.outbox.send(
            webhook["target_url"],
            delivery["payload"],
            headers_of(delivery["event_type"], delivery["uid"]),
            webhook["secret"] or "",
            lambda outcome: self._record(webhook, delivery, outcome),
        )

    def _record(self, webhook: Record, delivery: Record, outcome: Outcome) -> None:
        with self.store.lock:
            attempts = delivery["attempts"] + 1
            again = not outcome.delivered and not outcome.final and attempts <= len(RETRY_AFTER)
            now = self.store.now()
            due = now + RETRY_AFTER[attempts - 1] if again else None
            delivery.update(
                attempts=attempts,
                response_status=outcome.status,
                response_body=outcome.body,
                response_preview=outcome.body,
                response_body_size=outcome.size,
                response_body_sha256=outcome.sha256,
                next_retry_at=due,
                status="delivered" if outcome.delivered else "pending" if again else "failed",
                updated_at=now,
            )
        if due is not None:
            self.timeline.at(due, lambda: self._attempt(webhook, delivery))

    def execute(self, agent: Record, event: str, payload: Json) -> Record:
        """Make an execution of one agent; with a callback URL, call it once."""
        with self.store.lock:
            execution = self.store.insert(
                AGENT_EXECUTIONS,
                {
                    "registration": agent["uid"],
                    "_agents": agent["uid"],
                    "event_type": event,
                    "event_payload": payload,
                    "status": "pending",
                    "started_at": self.store.now(),
                },
            )
            self._count(agent, "pending", 1)
        if agent["callback_url"]:
            self.outbox.send(
                agent["callback_url"],
                {"execution": execution["uid"], "event": event, "payload": payload},
                headers_of(event, str(uuid.uuid4())),
                agent["secret"] or "",
                lambda outcome: self._end(agent, execution, outcome),
            )
        return execution

    def _end(self, agent: Record, execution: Record, outcome: Outcome) -> None:
        status = "success" if outcome.delivered else "failed"
        changes: dict[str, Any] = {"status": status, "response_payload": {"status_code": outcome.status}}
        if not outcome.delivered:
            changes["error_message"] = outcome.body or f"HTTP {outcome.status}"
        with self.store.lock:
            now = self.store.now()
            execution.update(changes, completed_at=now, updated_at=now)
            self._count(agent, "pending", -1)
            self._count(agent, status, 1)

    def _count(self, agent: Record, status: str, step: int) -> None:
        stats = dict(agent.get("execution_stats") or {})
        agent["execution_stats"] = {**stats, status: stats.get(status, 0) + step}

"""Webhooks and agents: their secrets, and the test message that can be asked for."""

from __future__ import annotations

import asyncio
import secrets
import uuid

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.events import headers_of
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.outbox import Outcome
from airflow_provider_avala.emulator.resources_work import AGENT_EXECUTIONS, PROJECTS
from airflow_provider_avala.emulator.schema import Field, Record, Shape

TESTED = Shape(
    "test_message",
    {
        "delivered": Field(bool, required=True),
        "success": Field(bool, required=True),
        "status_code": Field(int),
        "message": Field(required=True),
    },
)
ACTIONS = ("approve", "reject", "flag", "skip")
AGENT_ACTION = Shape(
    "agent_action",
    {"execution": Field(required=True), "action": Field(required=True, choices=ACTIONS), "reason": Field()},
)


def verdict(outcome: Outcome) -> Json:
    """Say what came of a test message, in the words of both sources that describe it."""
    return {
        "delivered": outcome.delivered,
        "success": outcome.delivered,
        "status_code": outcome.status,
        "message": "Delivered." if outcome.delivered else outcome.body or f"HTTP {outcome.status}",
    }


class Webhooks(Kind):
    """Subscriptions to events."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the test."""
        test = "/webhooks/{uid}/test"
        return [*super().endpoints(), Endpoint("POST", test, self.test, "Send a test message", gives=TESTED)]

    def prepare(self, fields: Record, call: Call) -> Record:
        """Make up a secret unless one was given."""
        return {**fields, "secret": fields["secret"] or f"whsec_{secrets.token_hex(20)}"}

    def amend(self, record: Record, changes: Record) -> Record:
        """Keep the secret unless another is given."""
        return {name: value for name, value in changes.items() if name != "secret" or value}

    async def test(self, call: Call) -> Json:
        """Answer POST .../test/: one message, sent while the client waits, recorded nowhere."""
        record = self.at(call.params)
        headers = headers_of("test", str(uuid.uuid4()))
        body = {"message": "A test message of the emulator."}
        send = self.emulator.events.outbox.send_and_wait
        return verdict(
            await asyncio.to_thread(send, record["target_url"], body, headers, record["secret"] or "")
        )


class Agents(Kind):
    """Agents that act on events."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints, the test and the actions."""
        return [
            *super().endpoints(),
            Endpoint("POST", "/agents/{uid}/test", self.test, "Call the agent's URL", gives=TESTED),
            Endpoint("POST", "/agent-actions", self.act, "Act on an execution", takes=AGENT_ACTION,
                     gives=AGENT_EXECUTIONS, status=201),
        ]  # fmt: skip

    def prepare(self, fields: Record, call: Call) -> Record:
        """Make up a secret; a project must be one there is."""
        self._check_project(fields)
        return {**fields, "secret": f"agsec_{secrets.token_hex(20)}"}

    def amend(self, record: Record, changes: Record) -> Record:
        """Check what an update changes; the secret stays."""
        self._check_project(changes)
        return {name: value for name, value in changes.items() if name != "secret"}

    def _check_project(self, fields: Record) -> None:
        uid = fields.get("project")
        if uid is not None and not self.store.known(PROJECTS, uid):
            raise ApiError.invalid(project=f'Invalid pk "{uid}" - object does not exist.')

    async def test(self, call: Call) -> Json:
        """Answer POST .../test/: one call, made while the client waits, recorded nowhere."""
        record = self.at(call.params)
        if not record["callback_url"]:
            return verdict(Outcome(None, "The agent has no callback URL.", final=True))
        headers = headers_of("test", str(uuid.uuid4()))
        send = self.emulator.events.outbox.send_and_wait
        return verdict(
            await asyncio.to_thread(send, record["callback_url"], {}, headers, record["secret"] or "")
        )

    def act(self, call: Call) -> Json:
        """Answer POST /agent-actions/: the execution ends with that action."""
        uid = call.body["execution"]
        if not self.store.known(AGENT_EXECUTIONS, uid):
            raise ApiError.invalid(execution=f'Invalid pk "{uid}" - object does not exist.')
        with self.store.lock:
            record, now = self.store.find(AGENT_EXECUTIONS, uid), self.store.now()
            record.update(action=call.body["action"], status="success", completed_at=now, updated_at=now)
        return AGENT_EXECUTIONS.show(record)

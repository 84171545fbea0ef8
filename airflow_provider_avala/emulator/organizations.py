"""Organizations, the people in them, their teams and invitations."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.kinds import Kind, slugify
from airflow_provider_avala.emulator.resources_accounts import (
    INVITATIONS,
    MEMBERS,
    ORGANIZATIONS,
    ROLES,
    TEAM_MEMBERS,
    TEAM_ROLES,
    TEAMS,
)
from airflow_provider_avala.emulator.resources_data import DATASETS, SLICES
from airflow_provider_avala.emulator.resources_work import PROJECTS
from airflow_provider_avala.emulator.schema import Field, Record, Shape

INDUSTRIES = ("agriculture", "automotive", "healthcare", "retail", "robotics", "other")
INVITATION_SECONDS = 7 * 24 * 3600.0
CHOICES = Shape("industry_choices", {"choices": Field(list, required=True, of=dict)})
ROLE = Shape("role", {"role": Field(required=True, choices=ROLES)})
TEAM_ROLE = Shape("team_role", {"role": Field(required=True, choices=TEAM_ROLES)})
NEW_OWNER = Shape("new_owner", {"new_owner_uid": Field(required=True)})
BASE = "/organizations/{organization}"


class Organizations(Kind):
    """Organizations that the key's owner belongs to."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        return [
            *super().endpoints(),
            Endpoint("GET", "/organizations/industry-choices", self.industries, "List the industries", gives=CHOICES),
            Endpoint("POST", f"{BASE}/leave", self.leave, "Leave the organization", form="nothing", status=204),
            Endpoint("POST", f"{BASE}/transfer-ownership", self.transfer, "Give the organization away",
                     takes=NEW_OWNER, form="nothing", status=204),
        ]  # fmt: skip

    def prepare(self, fields: Record, call: Call) -> Record:
        """Make a slug of the name."""
        taken = lambda slug: self.store.first(ORGANIZATIONS, slug=slug) is not None  # noqa: E731
        return {**fields, "slug": slugify(fields["name"], taken)}

    def created(self, record: Record) -> None:
        """The creator becomes its owner."""
        self.store.insert(MEMBERS, {**self.emulator.person, "role": "owner", "_organizations": record["uid"]})

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show an organization with what it has by now."""
        within, slug = {"_organizations": record["uid"]}, record["slug"]
        me = self.store.first(MEMBERS, user_uid=self.emulator.person["user_uid"], **within)
        counts = {
            "member_count": self.store.among(MEMBERS, **within),
            "team_count": self.store.among(TEAMS, **within),
            "dataset_count": self.store.among(DATASETS, owner_name=slug),
            "project_count": self.store.among(PROJECTS, owner_name=slug),
            "slice_count": self.store.among(SLICES, owner_name=slug),
        }
        return {
            **self.row.show(record),
            **{name: len(found) for name, found in counts.items()},
            "plan": self.emulator.plan,
            "role": me["role"] if me else None,
        }

    def industries(self, call: Call) -> Json:
        """Answer GET /organizations/industry-choices/."""
        return {"choices": [{"value": name, "label": name.capitalize()} for name in INDUSTRIES]}

    def leave(self, call: Call) -> None:
        """Answer POST .../leave/; the last owner has to stay."""
        with self.store.lock:
            within = {"_organizations": self.at(call.params)["uid"]}
            me = self.lookup(MEMBERS, {"user_uid": self.emulator.person["user_uid"], **within})
            if me["role"] == "owner" and len(self.store.among(MEMBERS, role="owner", **within)) == 1:
                raise ApiError(400, "Transfer the ownership before you leave the organization.")
            self.store.remove(MEMBERS, me["uid"])

    def transfer(self, call: Call) -> None:
        """Answer POST .../transfer-ownership/: another member becomes the owner."""
        with self.store.lock:
            within = {"_organizations": self.at(call.params)["uid"]}
            heir = self.store.first(MEMBERS, user_uid=call.body["new_owner_uid"], **within)
            if heir is None:
                raise ApiError.invalid(new_owner_uid="This user is no member of the organization.")
            for owner in self.store.among(MEMBERS, role="owner", **within):
                owner["role"] = "admin"
            heir["role"] = "owner"


class Members(Kind):
    """Members of an organization."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the change of a role."""
        path = f"{BASE}/members/{{user}}/role"
        change = Endpoint("PATCH", path, self.update, "Change a member's role", takes=ROLE, gives=MEMBERS)
        return [*super().endpoints(), change]

    def amend(self, record: Record, changes: Record) -> Record:
        """Ownership changes by transfer only."""
        if "owner" in (record["role"], changes["role"]):
            raise ApiError(400, "Use transfer-ownership to change the owner.")
        return changes


class Invitations(Kind):
    """Invitations to an organization: sent again, or cancelled."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        path = f"{BASE}/invitations/{{uid}}"
        return [
            *super().endpoints(),
            Endpoint("POST", f"{path}/resend", self.resend, "Send the invitation again", gives=INVITATIONS),
            Endpoint("POST", f"{path}/cancel", self.cancel, "Cancel the invitation", gives=INVITATIONS),
        ]

    def prepare(self, fields: Record, call: Call) -> Record:
        """Fill in who invites whom to what; nobody has two invitations."""
        organization = self.lookup(ORGANIZATIONS, {"slug": call.params["organization"]})
        email, within = fields["email"], {"_organizations": organization["uid"]}
        if self.store.first(INVITATIONS, invited_email=email, status="pending", **within):
            raise ApiError(409, "An invitation for this email address already exists.")
        return {
            "role": fields["role"],
            "invited_email": email,
            "organization_name": organization["name"],
            "organization_slug": organization["slug"],
            "invited_by_username": self.emulator.username,
            "status": "pending",
            "expires_at": self.store.now() + INVITATION_SECONDS,
            "_token": secrets.token_urlsafe(16),
        }

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show an invitation with its links."""
        link = f"https://avala.ai/organizations/invitations/{record['_token']}/accept"
        expired = self.store.now() >= record["expires_at"]
        return {**self.row.show(record), "is_expired": expired, "accept_url": link, "copy_link": link}

    def _pending(self, params: Any) -> Record:
        record = self.at(params)
        if record["status"] != "pending":
            raise ApiError(400, f"The invitation is {record['status']}.")
        return record

    def resend(self, call: Call) -> Json:
        """Answer POST .../resend/: it is valid for another week."""
        with self.store.lock:
            record, now = self._pending(call.params), self.store.now()
            record.update(expires_at=now + INVITATION_SECONDS, updated_at=now)
        return self.view(record)

    def cancel(self, call: Call) -> Json:
        """Answer POST .../cancel/."""
        with self.store.lock:
            record = self._pending(call.params)
            record.update(status="cancelled", updated_at=self.store.now())
        return self.view(record)


class Teams(Kind):
    """Teams of an organization."""

    def prepare(self, fields: Record, call: Call) -> Record:
        """Make a slug of the name."""
        organization = self.lookup(ORGANIZATIONS, {"slug": call.params["organization"]})
        within = {"_organizations": organization["uid"]}
        taken = lambda slug: self.store.first(TEAMS, slug=slug, **within) is not None  # noqa: E731
        return {**fields, "slug": slugify(fields["name"], taken)}

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a team with its organization and its size."""
        organization = self.store.find(ORGANIZATIONS, record["_organizations"])
        return {
            **self.row.show(record),
            **{f"organization_{name}": organization[name] for name in ("uid", "name", "slug")},
            "member_count": len(self.store.among(TEAM_MEMBERS, _teams=record["uid"])),
        }


class TeamMembers(Kind):
    """Members of an organization that are in a team."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the change of a role."""
        path = f"{BASE}/teams/{{team}}/members/{{user}}/role"
        change = Endpoint("PATCH", path, self.update, "Change a role", takes=TEAM_ROLE, gives=TEAM_MEMBERS)
        return [*super().endpoints(), change]

    def prepare(self, fields: Record, call: Call) -> Record:
        """Take a member of the organization over."""
        organization = self.lookup(ORGANIZATIONS, {"slug": call.params["organization"]})
        member = self.store.first(MEMBERS, user_uid=fields["user_uid"], _organizations=organization["uid"])
        if member is None:
            raise ApiError.invalid(user_uid="This user is no member of the organization.")
        known = {name: member.get(name) for name in ("username", "email", "full_name", "picture")}
        return {**known, **fields}


def person(username: str, **fields: Any) -> Record:
    """Describe a user."""
    described = {"user_uid": str(uuid.uuid4()), "username": username, "email": f"{username}@example.com"}
    return {**described, "full_name": username.capitalize(), "picture": None, **fields}

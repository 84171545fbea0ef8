"""Organizations with their people and teams, and their storage configurations."""

from __future__ import annotations

import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, SEED_OWNER
from tests.sdk.facade import covers


@covers(
    "organizations.create",
    "organizations.delete",
    "organizations.get",
    "organizations.industry_choices",
    "organizations.list",
    "organizations.update",
)
def test_an_organization_lives_its_life(sdk):
    organizations = sdk.organizations
    made = organizations.create(
        name="Acme Robots", description="d", website="https://acme.example.com", industry="robotics",
        email="x@acme.example.com", phone="1", visibility="private", logo="l",
    )  # fmt: skip
    assert (made.name, made.slug, made.industry, made.role) == (
        "Acme Robots",
        "acme-robots",
        "robotics",
        "owner",
    )
    assert made.member_count == 1
    assert [row.slug for row in organizations.list()] == ["acme-robots", SEED_OWNER]
    assert organizations.get("acme-robots").website == "https://acme.example.com"
    changed = organizations.update("acme-robots", description="other", phone="2", handle="acme")
    assert (changed.description, changed.phone, changed.handle, changed.name) == (
        "other",
        "2",
        "acme",
        "Acme Robots",
    )
    assert organizations.industry_choices()
    organizations.delete("acme-robots")
    with pytest.raises(avala.errors.NotFoundError):
        organizations.get("acme-robots")


@covers("organizations.list", "organizations.slug_for_uid")
def test_many_organizations_are_found_on_their_numbered_pages(sync_sdk, control):
    uids = control.plant(organizations=[{"name": f"O{n:02}", "slug": f"o{n:02}"} for n in range(24)])[
        "organizations"
    ]
    first = sync_sdk.organizations.list()
    assert (len(first), first.next_cursor) == (20, "2")
    rest = sync_sdk.organizations.list(page=first.next_cursor)
    assert (len(rest), rest.next_cursor) == (5, None)
    assert sync_sdk.organizations.slug_for_uid(uids[0].upper()) == "o00"
    assert sync_sdk.organizations.slug_for_uid("00000000-0000-0000-0000-000000000000") is None


@pytest.fixture
def people(control):
    """Two members of the organization besides the owner."""
    control.plant(
        members=[
            {
                "organization": SEED_OWNER,
                "user_uid": uid,
                "username": uid,
                "email": f"{uid}@example.com",
                "role": role,
            }
            for uid, role in (("ada", "admin"), ("bob", "member"))
        ]
    )


@covers(
    "organizations.leave",
    "organizations.list_members",
    "organizations.remove_member",
    "organizations.transfer_ownership",
    "organizations.update_member_role",
)
def test_members_change_their_roles_and_leave(sdk, people):
    def roles(**filters):
        return {row.username: row.role for row in sdk.organizations.list_members(SEED_OWNER, **filters)}

    owner = sdk.organizations.list_members(SEED_OWNER, role="owner").items[0]
    assert roles() == {owner.username: "owner", "ada": "admin", "bob": "member"}
    assert roles(search="bob@") == roles(role="member") == {"bob": "member"}
    sdk.organizations.update_member_role(SEED_OWNER, "bob", role="viewer")
    assert roles()["bob"] == "viewer"
    sdk.organizations.transfer_ownership(SEED_OWNER, new_owner_uid="ada")
    assert roles()["ada"] == "owner"
    sdk.organizations.remove_member(SEED_OWNER, "bob")
    assert "bob" not in roles()
    sdk.organizations.leave(SEED_OWNER)
    assert roles() == {"ada": "owner"}


@covers(
    "organizations.cancel_invitation",
    "organizations.create_invitation",
    "organizations.list_invitations",
    "organizations.resend_invitation",
)
def test_an_invitation_is_sent_again_and_cancelled(sdk):
    made = sdk.organizations.create_invitation(SEED_OWNER, email="new@example.com", role="viewer")
    assert (made.invited_email, made.role, made.status) == ("new@example.com", "viewer", "pending")
    assert made.organization_slug == SEED_OWNER
    sdk.organizations.resend_invitation(SEED_OWNER, made.uid)
    [listed] = sdk.organizations.list_invitations(SEED_OWNER)
    assert (listed.uid, listed.is_expired) == (made.uid, False)
    assert listed.expires_at >= made.expires_at
    sdk.organizations.cancel_invitation(SEED_OWNER, made.uid)
    assert [row.status for row in sdk.organizations.list_invitations(SEED_OWNER)] == ["cancelled"]
    with pytest.raises(avala.errors.AvalaError):
        sdk.organizations.resend_invitation(SEED_OWNER, made.uid)


@covers(
    "organizations.add_team_member",
    "organizations.create_team",
    "organizations.delete_team",
    "organizations.get_team",
    "organizations.list_team_members",
    "organizations.list_teams",
    "organizations.remove_team_member",
    "organizations.update_team",
    "organizations.update_team_member_role",
)
def test_a_team_lives_its_life(sdk, people):
    organizations = sdk.organizations
    team = organizations.create_team(SEED_OWNER, name="Night shift", description="d", color="#000000")
    assert (team.name, team.slug, team.organization_slug) == ("Night shift", "night-shift", SEED_OWNER)
    organizations.add_team_member(SEED_OWNER, team.slug, user_uid="bob", role="member")
    organizations.update_team_member_role(SEED_OWNER, team.slug, "bob", role="lead")
    [member] = organizations.list_team_members(SEED_OWNER, team.slug)
    assert (member.user_uid, member.username, member.role) == ("bob", "bob", "lead")
    assert organizations.get_team(SEED_OWNER, team.slug).member_count == 1
    organizations.remove_team_member(SEED_OWNER, team.slug, "bob")
    assert list(organizations.list_team_members(SEED_OWNER, team.slug)) == []
    changed = organizations.update_team(SEED_OWNER, team.slug, name="Day shift", color="#ffffff")
    assert (changed.name, changed.color, changed.description) == ("Day shift", "#ffffff", "d")
    assert [row.name for row in organizations.list_teams(SEED_OWNER)] == ["Day shift"]
    organizations.delete_team(SEED_OWNER, changed.slug)
    with pytest.raises(avala.errors.NotFoundError):
        organizations.get_team(SEED_OWNER, changed.slug)


@covers(
    "storage_configs.create",
    "storage_configs.delete",
    "storage_configs.get",
    "storage_configs.list",
    "storage_configs.setup_info",
    "storage_configs.test",
)
def test_a_storage_config_lives_its_life_and_keeps_its_secret(sdk):
    configs = sdk.storage_configs
    made = configs.create(
        name="Bucket", provider="aws_s3", organization=SEED_OWNER, s3_bucket_name="b", s3_bucket_region="eu-west-1",
        s3_bucket_prefix="p/", s3_auth_method="access_key", s3_access_key_id="AKIA", s3_secret_access_key="hidden",
        s3_is_accelerated=True,
    )  # fmt: skip
    assert (made.name, made.provider, made.s3_bucket_name, made.s3_is_accelerated) == (
        "Bucket",
        "aws_s3",
        "b",
        True,
    )
    assert [row.uid for row in configs.list(organization=SEED_OWNER)] == [made.uid]
    assert configs.test(made.uid)["verified"] is True
    found = configs.get(made.uid, organization=SEED_OWNER)
    assert (found.is_verified, found.s3_bucket_prefix) == (True, "p/")
    assert "hidden" not in str(found)
    info = configs.setup_info()
    assert len(info.avala_aws_account_id) == 12
    assert SEED_ORGANIZATION_ID in info.external_id
    configs.delete(made.uid)
    with pytest.raises(avala.errors.NotFoundError):
        configs.get(made.uid)


def test_a_storage_config_without_its_credentials_is_refused(sdk):
    with pytest.raises(avala.errors.ValidationError) as caught:
        sdk.storage_configs.create(name="G", provider="gc_storage", gc_storage_bucket_name="b")
    assert list(caught.value.body["detail"]) == ["gc_storage_auth_json_content"]

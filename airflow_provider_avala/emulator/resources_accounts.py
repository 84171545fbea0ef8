"""The rows of the resource table about accounts: organizations, members, teams, invitations, storage."""

from __future__ import annotations

from airflow_provider_avala.emulator.schema import Field, Link, Resource

ROLES = ("owner", "admin", "member", "viewer")
TEAM_ROLES = ("lead", "member")
ORGANIZATION_LINK = Link("organizations", {"organization": "slug"})
TEAM_LINK = Link("teams", {"team": "slug"})
PERSON = {
    "user_uid": Field(required=True),
    "username": Field(access="read"),
    "email": Field(access="read"),
    "full_name": Field(access="read"),
    "picture": Field(access="read"),
}

ORGANIZATIONS = Resource(
    "organizations",
    {
        "name": Field(required=True, max_length=255),
        "description": Field(default=""),
        "logo": Field(),
        "website": Field(),
        "handle": Field(max_length=100),
        "industry": Field(),
        "email": Field(),
        "phone": Field(),
        "visibility": Field(default="private", choices=("private", "public")),
        "slug": Field(required=True, access="read"),
        "plan": Field(access="read"),
        "role": Field(choices=ROLES, access="read"),
        "is_verified": Field(bool, default=False, access="read"),
        "is_active": Field(bool, default=True, access="read"),
        "member_count": Field(int, default=0, access="read"),
        "team_count": Field(int, default=0, access="read"),
        "dataset_count": Field(int, default=0, access="read"),
        "project_count": Field(int, default=0, access="read"),
        "slice_count": Field(int, default=0, access="read"),
        "allowed_domains": Field(list, default=list, of=str, access="read"),
    },
    label="Organization",
    list_path="/organizations",
    item_path="/organizations/{organization}",
    methods=("list", "get", "create", "patch", "delete"),
    key={"organization": "slug"},
    paging="numbered",
    filters={"name": "contains"},
)

MEMBERS = Resource(
    "members",
    {
        **PERSON,
        "role": Field(default="member", choices=ROLES),
        "last_active_at": Field(format="date-time", access="read"),
    },
    label="Member",
    list_path="/organizations/{organization}/members",
    item_path="/organizations/{organization}/members/{user}",
    methods=("list", "delete"),
    key={"user": "user_uid"},
    parents=(ORGANIZATION_LINK,),
    paging="numbered",
    filters={"role": "exact", "search": "search"},
    orderings=("created_at", "username"),
)

INVITATIONS = Resource(
    "invitations",
    {
        "email": Field(required=True, format="email", max_length=254, access="write"),
        "role": Field(default="member", choices=ROLES),
        "invited_email": Field(required=True, access="read"),
        "organization_name": Field(access="read"),
        "organization_slug": Field(access="read"),
        "invited_by_username": Field(access="read"),
        "status": Field(default="pending", access="read"),
        "expires_at": Field(format="date-time", access="read"),
        "is_expired": Field(bool, default=False, access="read"),
        "accept_url": Field(access="read"),
        "copy_link": Field(access="read"),
    },
    label="Invitation",
    list_path="/organizations/{organization}/invitations",
    methods=("list", "create"),
    parents=(ORGANIZATION_LINK,),
    paging="numbered",
    orderings=("created_at",),
)

TEAMS = Resource(
    "teams",
    {
        "name": Field(required=True, max_length=255),
        "description": Field(default=""),
        "color": Field(max_length=32),
        "slug": Field(required=True, access="read"),
        "organization_uid": Field(access="read"),
        "organization_name": Field(access="read"),
        "organization_slug": Field(access="read"),
        "member_count": Field(int, default=0, access="read"),
    },
    label="Team",
    list_path="/organizations/{organization}/teams",
    item_path="/organizations/{organization}/teams/{team}",
    methods=("list", "get", "create", "patch", "delete"),
    key={"team": "slug"},
    parents=(ORGANIZATION_LINK,),
    paging="numbered",
)

TEAM_MEMBERS = Resource(
    "team_members",
    {**PERSON, "role": Field(default="member", choices=TEAM_ROLES)},
    label="Team member",
    list_path="/organizations/{organization}/teams/{team}/members",
    item_path="/organizations/{organization}/teams/{team}/members/{user}",
    methods=("list", "create", "delete"),
    key={"user": "user_uid"},
    parents=(ORGANIZATION_LINK, TEAM_LINK),
    paging="numbered",
    orderings=("created_at", "username"),
    unique=("user_uid",),
)

STORAGE_CONFIGS = Resource(
    "storage_configs",
    {
        "name": Field(required=True, max_length=255),
        "provider": Field(required=True, choices=("aws_s3", "gc_storage")),
        "s3_bucket_name": Field(),
        "s3_bucket_region": Field(),
        "s3_bucket_prefix": Field(),
        "s3_auth_method": Field(choices=("access_key", "iam_role")),
        "s3_is_accelerated": Field(bool, default=False),
        "s3_role_arn": Field(access="write"),
        "s3_access_key_id": Field(access="write"),
        "s3_secret_access_key": Field(access="write"),
        "gc_storage_bucket_name": Field(),
        "gc_storage_prefix": Field(),
        "gc_storage_auth_json_content": Field(access="write"),
        "is_verified": Field(bool, default=False, access="read"),
        "last_verified_at": Field(format="date-time", access="read"),
    },
    label="Storage config",
    list_path="/storage-configs",
    item_path="/storage-configs/{uid}",
    methods=("list", "get", "create", "delete"),
)

"""What is registered from outside: cloud buckets and inference providers. Their secrets are never shown."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_accounts import ORGANIZATIONS
from airflow_provider_avala.emulator.resources_work import PROJECTS
from airflow_provider_avala.emulator.schema import Field, Record, Shape

SETUP = Shape(
    "storage_setup", {"avala_aws_account_id": Field(required=True), "external_id": Field(required=True)}
)
VERIFIED = Shape(
    "storage_test", {"verified": Field(bool, required=True), "errors": Field(dict, default=dict)}
)
TESTED = Shape(
    "inference_test", {"success": Field(bool, required=True), "latency_ms": Field(int), "message": Field()}
)
ORGANIZATION = {"organization": Field()}
NEEDED = {
    "access_key": ("s3_bucket_name", "s3_bucket_region", "s3_access_key_id", "s3_secret_access_key"),
    "iam_role": ("s3_bucket_name", "s3_bucket_region", "s3_role_arn"),
    "gc_storage": ("gc_storage_bucket_name", "gc_storage_auth_json_content"),
}
SECRET = re.compile(r"key|token|secret|password|auth|credential", re.IGNORECASE)
ACCOUNT_ID = "000000000000"


def needed_by(fields: Record) -> tuple[str, ...]:
    """Return the fields that a configuration of this provider cannot do without."""
    if fields["provider"] == "gc_storage":
        return NEEDED["gc_storage"]
    return NEEDED[fields["s3_auth_method"] or "access_key"]


class StorageConfigs(Kind):
    """Buckets of an organization; credentials are checked for presence and thrown away."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        return [
            *super().endpoints(),
            Endpoint("GET", "/storage-configs/setup-info", self.setup, "Show what a role's trust policy needs",
                     gives=SETUP, query=ORGANIZATION),
            Endpoint("POST", "/storage-configs/{uid}/test", self.test, "Verify the access", gives=VERIFIED),
        ]  # fmt: skip

    def _organization(self, call: Call) -> Record:
        slug = call.query.get("organization")
        if slug:
            return self.lookup(ORGANIZATIONS, {"slug": slug})
        every = self.store.among(ORGANIZATIONS)
        if len(every) != 1:
            raise ApiError.invalid(organization="Say which organization: you belong to several.")
        return every[0]

    def prepare(self, fields: Record, call: Call) -> Record:
        """Ask for what the provider needs, and keep no secret."""
        missing = [name for name in needed_by(fields) if not fields[name]]
        if missing:
            raise ApiError.invalid(**dict.fromkeys(missing, "This field is required."))
        shown = {name: value for name, value in fields.items() if self.row.fields[name].access != "write"}
        return {**shown, "_organization": self._organization(call)["uid"]}

    def browse(self, call: Call) -> Listing:
        """Answer the list, of one organization if the query names it."""
        if not call.query.get("organization"):
            return self.listing(call)
        return self.listing(call, _organization=self._organization(call)["uid"])

    def get(self, call: Call) -> Json:
        """Answer one; under the name of another organization there is none."""
        record = self.at(call.params)
        if call.query.get("organization") and record["_organization"] != self._organization(call)["uid"]:
            raise ApiError.missing(self.row.label)
        return self.view(record)

    def setup(self, call: Call) -> Json:
        """Answer GET /storage-configs/setup-info/."""
        return {"avala_aws_account_id": ACCOUNT_ID, "external_id": f"avala-{self._organization(call)['uid']}"}

    def test(self, call: Call) -> Json:
        """Answer POST .../test/: access is verified, unless ``bucket`` was ordered to be unreachable."""
        with self.store.lock:
            record, now = self.at(call.params), self.store.now()
            bucket = record["s3_bucket_name"] or record["gc_storage_bucket_name"]
            verified = bucket not in self.emulator.unreachable_buckets
            record.update(is_verified=verified, updated_at=now)
            if verified:
                record["last_verified_at"] = now
                return {"verified": True, "errors": {}}
        field = "s3_bucket_name" if record["s3_bucket_name"] else "gc_storage_bucket_name"
        return {"verified": False, "errors": {field: ["The bucket cannot be reached."]}}


def without_secrets(value: Any) -> Any:
    """Blank out what secret-sounding names hold, at any depth."""
    if isinstance(value, dict):
        return {
            name: "********" if SECRET.search(name) else without_secrets(inner)
            for name, inner in value.items()
        }
    return [without_secrets(inner) for inner in value] if isinstance(value, list) else value


class InferenceProviders(Kind):
    """Endpoints of models."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the test."""
        path = "/inference-providers/{uid}/test"
        return [*super().endpoints(), Endpoint("POST", path, self.test, "Test the provider", gives=TESTED)]

    def prepare(self, fields: Record, call: Call) -> Record:
        """Check the configuration."""
        return self.amend(fields, fields)

    def amend(self, record: Record, changes: Record) -> Record:
        """Check what an update changes."""
        project = changes.get("project")
        if project is not None and not self.store.known(PROJECTS, project):
            raise ApiError.invalid(project=f'Invalid pk "{project}" - object does not exist.')
        kind = changes.get("provider_type", record["provider_type"])
        config: Json = changes.get("config") or record["config"]
        if kind == "http" and not isinstance(config.get("url"), str):
            raise ApiError.invalid(config="An http provider needs a url.")
        return changes

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a provider without its secrets."""
        return {**self.row.show(record), "config": without_secrets(record["config"])}

    def test(self, call: Call) -> Json:
        """Answer POST .../test/: an active provider answers at once. Nothing is really called."""
        with self.store.lock:
            record, now = self.at(call.params), self.store.now()
            success = bool(record["is_active"])
            record.update(last_test_at=now, last_test_success=success, updated_at=now)
        return {
            "success": success,
            "latency_ms": 1,
            "message": "OK" if success else "The provider is inactive.",
        }

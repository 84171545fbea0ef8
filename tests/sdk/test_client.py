"""What holds for every call: the key, the error classes, the rate limit."""

from __future__ import annotations

import avala
import avala.errors
import pytest

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_a_wrong_key_is_refused(emulator, control, monkeypatch):
    monkeypatch.setenv("AVALA_ALLOW_INSECURE_BASE_URL", "true")
    client = avala.Client(api_key="avk_wrong", base_url=emulator["base_url"])
    with client, pytest.raises(avala.errors.AuthenticationError, match="Invalid API key"):
        client.projects.list()


def test_the_key_and_the_address_may_come_from_the_environment(emulator, control, monkeypatch):
    for name, value in (("API_KEY", emulator["api_key"]), ("BASE_URL", emulator["base_url"])):
        monkeypatch.setenv(f"AVALA_{name}", value)
    monkeypatch.setenv("AVALA_ALLOW_INSECURE_BASE_URL", "true")
    with avala.Client() as client:
        assert [project.name for project in client.projects.list()] == ["Seed project"]


def test_the_rate_limit_of_the_last_answer_is_shown(sdk, control):
    control.turn(settings={"rate_limits": "3/60"})
    try:
        sdk.projects.list()
        assert (sdk.rate_limit_info["limit"], sdk.rate_limit_info["remaining"]) == ("3", "2")
        sdk.projects.list()
        sdk.projects.list()
        with pytest.raises(avala.errors.RateLimitError) as caught:
            sdk.projects.list()
        assert 55 < caught.value.retry_after <= 60
    finally:
        control.turn(settings={"rate_limits": "none"})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (403, avala.errors.ForbiddenError),
        (409, avala.errors.AvalaError),
        (500, avala.errors.ServerError),
        (502, avala.errors.ServerError),
        (503, avala.errors.ServerError),
    ],
)
def test_an_ordered_fault_is_the_error_that_the_sdk_has_for_it(sdk, control, code, error):
    control.order("html" if code == 502 else "status", args={} if code == 502 else {"code": code})
    with pytest.raises(error) as caught:
        sdk.datasets.list()
    assert caught.value.status_code == code


@pytest.mark.parametrize(
    "resource",
    ["agents", "auto_label_jobs", "datasets", "exports", "inference_providers", "organizations", "projects",
     "storage_configs", "tasks", "webhook_deliveries", "webhooks"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(sdk, resource):
    with pytest.raises(avala.errors.NotFoundError, match=r"^Not found\.$"):
        getattr(sdk, resource).get(UNKNOWN)

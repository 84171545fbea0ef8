"""What is sent, in both generations of the API."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_avala.api.dialects import CURRENT, LEGACY, MAX_NAME, ExportRequest, other, segment
from airflow_provider_avala.api.errors import AvalaConfigurationError
from tests.api.conftest import KEY
from tests.api.scripted import Scripted, says


@pytest.mark.parametrize(
    "endpoint",
    ["/datasets/", "datasets", "/datasets", "datasets/", "//datasets//", " /datasets/ ", "datasets/\n"],
)
def test_endpoint_is_written_with_or_without_slashes(endpoint):
    assert CURRENT.path(endpoint) == "/datasets/"
    assert LEGACY.path(endpoint) == "/datasets"


@pytest.mark.parametrize(
    "endpoint",
    [
        "", "/", " ", "///", None, 3, b"datasets", "https://evil.example/datasets/", "/datasets/../keys/", "..",
        "/datasets/./x", "/datasets//x", "/datasets/%2e%2e/keys", "/datasets/%2E./keys", "/datasets/.%2e/keys",
        "/datasets/..%2fkeys", "/datasets/..%5Ckeys", "/datasets/?limit=1", "/datasets/#x", "/data\\sets",
        "/data\nsets",
        "/data\x00sets", "/data\ud800sets", "/ /x",
    ],
)  # fmt: skip
def test_endpoint_that_is_none_is_refused(endpoint):
    with pytest.raises(AvalaConfigurationError, match="endpoint: "):
        CURRENT.path(endpoint)


def test_refused_query_is_not_repeated():
    with pytest.raises(AvalaConfigurationError) as error:
        CURRENT.path("/exports/?token=topsecret")
    assert "topsecret" not in str(error.value)


@pytest.mark.parametrize(
    "value", ["", " ", ".", "..", "../keys", "x/../y", "x\\..", "./x", None, 3, b"x", "\ud800"]
)
def test_id_that_is_none_is_refused_by_name(value):
    with pytest.raises(AvalaConfigurationError, match="export_id: "):
        segment(value, "export_id")


IDS = {
    "a/b": "a%2Fb",
    "a?b": "a%3Fb",
    "#": "%23",
    "a b": "a%20b",
    "ü": "%C3%BC",
    "%2e%2e": "%252e%252e",
    "%2F": "%252F",
    "a;b": "a%3Bb",
    "a\nb": "a%0Ab",
    "...": "...",
    "a\\b": "a%5Cb",
    "@:": "%40%3A",
    "~_-.": "~_-.",
    "ds_abc123": "ds_abc123",
}


def test_server_receives_every_id_as_one_segment(client_of):
    with Scripted(*[says(200, {"uid": "x"})] * len(IDS)) as server:
        client = client_of(f"{server.url}/api/v1")
        for value in IDS:
            client.get_export(value)
    assert server.calls == [f"GET /api/v1/exports/{encoded}/" for encoded in IDS.values()]


@pytest.fixture(scope="module")
def echo():
    with Scripted(*[says(200, {"uid": "x"})] * 10_000) as server:
        yield server


@pytest.fixture(scope="module")
def transport(echo):
    from airflow_provider_avala.api.settings import Settings
    from airflow_provider_avala.api.wire import Wire

    wire = Wire(Settings.parse(host=echo.url, password=KEY))
    yield lambda path: wire.send("GET", echo.url + path, authenticate=True)
    wire.close()


@given(st.text(min_size=1, max_size=12) | st.text("./\\%2eE?#;", min_size=1, max_size=8))
@example("..")
@example("%2e%2e/")
def test_no_id_leaves_its_segment_on_the_way_to_the_server(echo, transport, value):
    try:
        path = CURRENT.path(f"/exports/{segment(value, 'export_id')}/")
    except AvalaConfigurationError:
        return
    transport(path)
    received = echo.seen[-1].path
    assert received == path
    before, exports, one, after = received.split("/")
    assert (before, exports, after) == ("", "exports", "")
    assert one not in ("", ".", "..")
    assert "?" not in one


@given(st.text(max_size=20) | st.text("a./\\%2eE?#;@:", max_size=12))
def test_no_endpoint_leaves_the_api_on_the_way_to_the_server(echo, transport, endpoint):
    try:
        path = CURRENT.path(f"/api/{endpoint}")
    except AvalaConfigurationError:
        return
    transport(path)
    received = echo.seen[-1].path
    assert received.startswith("/api/")
    assert not {"..", "."} & set(received.lower().replace("%2e", ".").split("/"))


ONE = {"export_format": "json", "name": "n"}


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        (ExportRequest(projects=["p"], **ONE), {"project": "p"}),
        (ExportRequest(datasets=["d"], **ONE), {"dataset": "d"}),
        (ExportRequest(slices=["s"], **ONE), {}),
        (ExportRequest(projects=["p"], datasets=["d"], **ONE), {"project": "p", "dataset": "d"}),
        (ExportRequest(projects=["p", "q"], **ONE), {}),
    ],
)
def test_current_body_is_the_reference_s_with_the_sdk_s_own_keys(request_, keys):
    assert CURRENT.export_body(request_) == {
        "name": "n",
        "format": "json",
        "projects": list(request_.projects),
        "datasets": list(request_.datasets),
        "slices": list(request_.slices),
        **keys,
    }


def test_legacy_body_is_project_and_format():
    assert LEGACY.export_body(ExportRequest(projects=["p"], **ONE)) == {"project_id": "p", "format": "json"}


@pytest.mark.parametrize(
    "request_",
    [
        ExportRequest(datasets=["d"]),
        ExportRequest(slices=["s"]),
        ExportRequest(projects=["p", "q"]),
        ExportRequest(projects=["p"], datasets=["d"]),
    ],
)
def test_what_legacy_cannot_say_is_an_error(request_):
    with pytest.raises(AvalaConfigurationError, match=r"project_id: .*exactly one project"):
        LEGACY.export_body(request_)


@pytest.mark.parametrize("dialect", [CURRENT, LEGACY], ids=["current", "legacy"])
@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (ExportRequest(), "project_id: "),
        (ExportRequest(projects=["p"], export_format=""), "export_format: "),
        (ExportRequest(projects=["p"], name="n" * (MAX_NAME + 1)), "name: "),
    ],
)
def test_bad_export_names_its_field(dialect, request_, names):
    with pytest.raises(AvalaConfigurationError, match=names):
        dialect.export_body(request_)


@pytest.mark.parametrize("dialect", [CURRENT, LEGACY], ids=["current", "legacy"])
def test_payload_replaces_the_body(dialect):
    payload = {"anything": [1]}
    body = dialect.export_body(ExportRequest(payload=payload))
    assert body == payload
    assert body is not payload


def test_each_dialect_is_the_other_one_s_other():
    assert (other(CURRENT), other(LEGACY)) == (LEGACY, CURRENT)


@pytest.mark.parametrize("value", ["None", "", " ", None, 5])
def test_what_a_template_makes_of_nothing_is_no_id(value: object) -> None:
    with pytest.raises(AvalaConfigurationError, match="export_id"):
        segment(value, "export_id")

"""Connections as people write them down, and what is said about the mistakes in them."""

import json
import pickle
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.limiter import Limit
from airflow_provider_avala.api.settings import DEFAULT_BASE_URL, Settings, is_loopback, origin


def parse(host=None, password="k", **fields):
    return Settings.parse(host=host, password=password, **fields)


BASE_URLS = {
    "nothing": ({}, DEFAULT_BASE_URL),
    "empty fields of a form": ({"host": "", "port": 0, "schema": "", "extra": {}}, DEFAULT_BASE_URL),
    "whole": ({"host": "https://api.avala.ai/api/v1"}, "https://api.avala.ai/api/v1"),
    "slashes at the end": ({"host": "https://api.avala.ai/api/v1///"}, "https://api.avala.ai/api/v1"),
    "blanks around": ({"host": " https://api.avala.ai/api/v1\n"}, "https://api.avala.ai/api/v1"),
    "upper case": ({"host": "HTTPS://API.Avala.AI/api/V1"}, "https://api.avala.ai/api/V1"),
    "port in the URL": ({"host": "http://localhost:8765/api/v1"}, "http://localhost:8765/api/v1"),
    "port beside the URL": (
        {"host": "http://localhost/api/v1", "port": 8765},
        "http://localhost:8765/api/v1",
    ),
    "both ports": ({"host": "http://localhost:1/x", "port": 1}, "http://localhost:1/x"),
    "path in schema": ({"host": "https://api.avala.ai", "schema": "api/v1"}, "https://api.avala.ai/api/v1"),
    "path in schema, slashes": ({"host": "https://h", "schema": "/api/v1/"}, "https://h/api/v1"),
    "scheme in schema": ({"host": "api.avala.ai/api/v1", "schema": "https"}, "https://api.avala.ai/api/v1"),
    "scheme in both": (
        {"host": "https://api.avala.ai/api/v1", "schema": "https"},
        "https://api.avala.ai/api/v1",
    ),
    "IPv6": ({"host": "http://[::1]:8765/api/v1"}, "http://[::1]:8765/api/v1"),
    "IPv6, port beside": ({"host": "http://[::1]", "port": 8765}, "http://[::1]:8765"),
    "loopback": ({"host": "http://127.8.9.1:80"}, "http://127.8.9.1:80"),
    "plain HTTP on purpose": (
        {"host": "http://emulator:8000", "extra": {"allow_insecure_http": "true"}},
        "http://emulator:8000",
    ),
}


@pytest.mark.parametrize(("fields", "base_url"), BASE_URLS.values(), ids=BASE_URLS)
def test_base_url_is_read_from_every_way_to_write_it(fields, base_url):
    assert parse(**fields).base_url == base_url


BAD_FIELDS = {
    # name: (fields, what the error must name)
    "no scheme": ({"host": "api.avala.ai"}, "host: .*https://api.avala.ai"),
    "another scheme": ({"host": "ftp://api.avala.ai"}, "host"),
    "no host name": ({"host": "https:///api/v1"}, "host"),
    "credentials": ({"host": "https://me:topsecret@api.avala.ai"}, "host: .*credentials"),
    "credentials without scheme": ({"host": "me:topsecret@api.avala.ai"}, "host"),
    "query": ({"host": "https://api.avala.ai/?k=topsecret"}, "host: .*query"),
    "fragment": ({"host": "https://api.avala.ai/#topsecret"}, "host: .*fragment"),
    "port is a word": ({"host": "https://api.avala.ai:http/"}, "host"),
    "port beyond range": ({"host": "https://api.avala.ai:99999/"}, "host"),
    "broken IPv6": ({"host": "http://[::1/"}, "host"),
    "blank inside": ({"host": "https://api .avala.ai"}, "host"),
    "backslash": ({"host": "https://evil.example\\@api.avala.ai"}, "host"),
    "plain HTTP": ({"host": "http://api.avala.ai"}, "host: .*allow_insecure_http"),
    "plain HTTP, schema": ({"host": "api.avala.ai", "schema": "http"}, "host: .*allow_insecure_http"),
    "two schemes": ({"host": "https://api.avala.ai", "schema": "http"}, "schema"),
    "two ports": ({"host": "https://api.avala.ai:443", "port": 8443}, "port"),
    "negative port": ({"host": "https://api.avala.ai", "port": -1}, "port"),
    "port beside beyond range": ({"host": "https://api.avala.ai", "port": 70000}, "port"),
    "two paths": ({"host": "https://h/api/v1", "schema": "api/v2"}, "schema"),
    "line break in the path": ({"host": "https://h", "schema": "api\rv1"}, "schema"),
    "query in the path": ({"host": "https://h", "schema": "api?k=topsecret"}, "schema"),
    "backslash in the path": ({"host": "https://h", "schema": "api\\v1"}, "schema"),
    "no key": ({"password": None}, "password: .*missing"),
    "blank key": ({"password": " "}, "password: .*missing"),
    "key with a line break": ({"password": "top\nsecret"}, "password"),
    "key with a blank": ({"password": "topsecret topsecret"}, "password"),
    "key in Greek": ({"password": "topsecrét"}, "password"),
    "extra is no object": ({"extra": ["timeout"]}, "extra"),
    "extra is text": ({"extra": "timeout"}, "extra"),
}


@pytest.mark.parametrize(("fields", "names"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_error_names_the_field_and_keeps_its_secrets(fields, names):
    with pytest.raises(AvalaConfigurationError, match=f"^{names}") as error:
        parse(**fields)
    assert "topsecr" not in str(error.value)


BAD_EXTRAS = {
    "dialect": ["newest", "", 3, True, ["auto"]],
    "timeout": ["soon", 0, -1, "nan", "inf", 3601, True, [], "30s"],
    "max_retry_seconds": [-1, "inf", 86401, {}, False],
    "rate_limits": ["100", "0/60", "100/0", "a/b", 100, ["100/60"], "100/60;20/1", "-1/1"],
    "inference_rate_limits": ["10", 10],
    "rate_limit_share": [0, 1.01, "half", -0.5],
    "rate_limit_store": ["file", "http://x", 3, "redis:/x"],
    "max_concurrent_uploads": [0, -1, 1.5, "many", 1001, True],
    "max_concurrent_exports": [0, "1.5"],
    "verify": ["maybe", 3, "ca", [True]],
    "proxies": [
        "http://u:topsecret@p:1",
        ["http://p:1"],
        {"https": 3},
        '{"https":',
        "[]",
        {"https": "u:topsecret"},
        {"https": "http://u:topsecret@"},
        {"https": "http://u:topsecret@p:x"},
        {"ftp": "http://p:1"},
        {"https": "gopher://p:1"},
        {3: "http://p:1"},
    ],
    "web_url": ["avala.ai", "ftp://avala.ai", 3, "https://u:topsecret@/"],
    "allow_insecure_http": ["perhaps", 2, []],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_EXTRAS.items() for value in values if value != ""],
)
def test_ill_typed_extra_gives_an_error_that_names_it(name, value):
    with pytest.raises(AvalaConfigurationError, match=f"extra {name}: ") as error:
        parse(extra={name: value})
    assert "topsecret" not in str(error.value)


def test_unknown_extra_gives_an_error_that_names_it_and_the_known_ones():
    with pytest.raises(AvalaConfigurationError, match=r"'timeot'.*timeout") as error:
        parse(extra={"timeot": "topsecret"})
    assert "topsecret" not in str(error.value)
    with pytest.raises(AvalaConfigurationError, match="'3'"):
        parse(extra={3: "x"})


@pytest.mark.parametrize("value", ["", None])
def test_empty_extra_means_the_default(value):
    names = [name for name in BAD_EXTRAS if name != "allow_insecure_http"]
    assert parse(extra=dict.fromkeys(names, value)) == parse()


def test_extras_of_an_old_form_have_a_prefix():
    assert parse(extra={"extra__avala__timeout": "5"}).timeout == 5


GOOD_EXTRAS = [
    ("dialect", " Legacy ", "legacy"),
    ("timeout", "2.5", 2.5),
    ("max_retry_seconds", 0, 0),
    ("rate_limits", "20/1, 100/60", (Limit(100, 60), Limit(20, 1))),
    ("rate_limit_share", "0.5", 0.5),
    ("rate_limit_store", "memory", "memory"),
    ("rate_limit_store", "rediss://:p@cache:6379/1", "rediss://:p@cache:6379/1"),
    ("max_concurrent_uploads", "3", 3),
    ("max_concurrent_exports", 3.0, 3),
    ("verify", "FALSE", False),
    ("verify", False, False),
    ("verify", "/etc/ca.pem", "/etc/ca.pem"),
    ("proxies", '{"https": "http://proxy:3128"}', {"https": "http://proxy:3128"}),
    ("proxies", {"all": "socks5h://proxy:1080"}, {"all": "socks5h://proxy:1080"}),
    ("proxies", {}, {}),
    ("web_url", "https://avala.example/", "https://avala.example"),
    ("allow_insecure_http", 1, True),
    ("allow_insecure_http", "off", False),
]


@pytest.mark.parametrize(("name", "value", "read"), GOOD_EXTRAS)
def test_extra_is_read_as_typed_or_as_text(name, value, read):
    assert getattr(parse(extra={name: value}), name) == read


@pytest.mark.parametrize(
    ("host", "dialect", "sends"),
    [
        ("https://api.avala.ai/api/v1", "auto", "current"),
        ("https://server.avala.ai/api/v1", "auto", "legacy"),
        ("https://SERVER.avala.ai:443/api/v1", "auto", "legacy"),
        ("https://server.avala.ai.example/api/v1", "auto", "current"),
        ("https://server.avala.ai/api/v1", "current", "current"),
        ("http://127.0.0.1:8765/api/v1", "auto", "current"),
        ("http://127.0.0.1:8765/api/v1", "legacy", "legacy"),
    ],
)
def test_dialect_auto_is_settled_by_the_host(host, dialect, sends):
    assert parse(host, extra={"dialect": dialect}).sends.name == sends


def test_share_scales_every_limit():
    settings = parse(
        extra={"rate_limits": "100/60,20/1", "inference_rate_limits": "2/60", "rate_limit_share": 0.25}
    )
    assert settings.rate_limits == (Limit(25, 60), Limit(5, 1))
    assert settings.inference_rate_limits == (Limit(1, 120),)


def test_repr_and_digest_keep_the_secrets():
    settings = parse(
        password="topsecret",
        extra={"rate_limit_store": "redis://:topsecret@c:1", "proxies": {"https": "http://u:topsecret@p:1"}},
    )
    assert "topsecret" not in repr(settings)
    assert "topsecret" not in settings.owner("standard")
    assert settings.owner("standard") != settings.owner("inference")
    assert settings.owner("standard") != parse(password="other").owner("standard")
    assert pickle.loads(pickle.dumps(settings)) == settings


extras = st.fixed_dictionaries(
    {},
    optional={
        "dialect": st.sampled_from(["auto", "current", "legacy"]),
        "timeout": st.floats(0.001, 3600),
        "max_retry_seconds": st.integers(0, 86400) | st.floats(0, 86400),
        "rate_limits": st.sampled_from(["100/60", "100/60,20/1"]),
        "rate_limit_share": st.floats(0.001, 1),
        "rate_limit_store": st.sampled_from(["memory", "redis://c:1/0"]),
        "max_concurrent_uploads": st.integers(1, 1000),
        "verify": st.booleans() | st.just("/etc/ssl/ca.pem"),
        "proxies": st.dictionaries(
            st.sampled_from(["http", "https", "all"]), st.just("http://u:p@proxy:3128")
        ),
        "allow_insecure_http": st.booleans(),
    },
)


@given(extras, st.sampled_from(["/api/v1", "", "/a b"]), st.none() | st.integers(1, 65535))
def test_connection_as_a_uri_gives_the_same_settings_as_typed_fields(extra, path, port):
    typed = parse(f"https://api.example{path}", "k/e:y@", port=port, extra=extra)
    texts = {name: json.dumps(each) if isinstance(each, dict) else str(each) for name, each in extra.items()}
    uri = f"avala://:{quote('k/e:y@', safe='')}@https%3A%2F%2Fapi.example"
    uri += (f":{port}" if port else "") + f"/{quote(path.strip('/'), safe='')}?{urlencode(texts)}"
    parts = urlsplit(uri)  # what Airflow makes of it
    assert typed == Settings.parse(
        host=unquote(parts.hostname or ""),
        port=parts.port,
        schema=unquote(parts.path[1:]),
        password=unquote(parts.password or ""),
        extra=dict(parse_qsl(parts.query, keep_blank_values=True)),
    )


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(
    st.dictionaries(st.sampled_from(sorted(BAD_EXTRAS)), anything),
    st.text(),
    st.text(),
    st.none() | st.integers(),
)
def test_any_connection_is_settings_or_a_configuration_error(extra, host, schema, port):
    for url in (host, f"https://{host}", f"https://api.avala.ai/{host}"):
        try:
            settings = Settings.parse(host=url, port=port, schema=schema, password="k", extra=extra)
        except AvalaConfigurationError:
            continue
        assert origin(settings.base_url)
        assert not settings.base_url.endswith("/")


@pytest.mark.parametrize("name", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_loopback_names(name):
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["127.0.0.1.example", "localhost.example", "0.0.0.0", "10.0.0.1", "", "fe80::1"]
)
def test_other_names_are_not_loopback(name):
    assert not is_loopback(name)


SAME = ["https://h", "HTTPS://H:443/x", "https://h:443?y", "https://h/#z"]


@pytest.mark.parametrize("url", SAME)
def test_origin_knows_default_ports_and_case(url):
    assert origin(url) == ("https", "h", 443)


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:444", "https://h.", "https://hh", "https://h@x", "https://[::1]"]
)
def test_other_origins_differ(url):
    assert origin(url) != ("https", "h", 443)


NO_ORIGIN = [
    "", "h", "//h", "/x", "ftp://h", "https://", "https:///x", "https:h", "https://h:x", "https://h:99999",
    "https://[::1", "https://evil\\@h", "https://h\\x", "https://h\n", " https://h", "https://h h", "https://h\x00",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_ORIGIN)
def test_what_can_be_read_in_two_ways_has_no_origin(url):
    with pytest.raises(ValueError, match=r"."):
        origin(url)

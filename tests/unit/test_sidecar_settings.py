"""The sidecar's settings: what each variable takes, and what is said where it cannot be used."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sidecar import settings
from sidecar.settings import Address, SettingError


def test_everything_has_a_default_and_listens_on_loopback() -> None:
    read = settings.read({})
    assert (read.grpc, read.http, read.health) == (
        Address("127.0.0.1", 4317),
        Address("127.0.0.1", 4318),
        Address("127.0.0.1", 13133),
    )
    assert read.collector is None
    assert read.data_dir == Path("/var/lib/otel-prefect")
    assert read.drain_seconds == 25.0
    assert (read.max_request_bytes, read.max_in_flight_bytes) == (64 * 1024 * 1024, 64 * 1024 * 1024)
    assert read.attributes == {}
    assert read.prefect_api is None
    assert read.ecs_metadata_url is None


def test_an_empty_variable_counts_as_unset() -> None:
    assert settings.read({"OTEL_PREFECT_GRPC_ENDPOINT": "", "PREFECT_API_URL": ""}) == settings.read({})


def test_ipv6_addresses_are_read_and_written_with_brackets() -> None:
    read = settings.read({"OTEL_PREFECT_GRPC_ENDPOINT": "[::1]:4317"})
    assert read.grpc == Address("::1", 4317)
    assert str(read.grpc) == "[::1]:4317"


def test_attributes_are_percent_decoded_and_ours_win_over_opentelemetrys() -> None:
    read = settings.read(
        {"OTEL_RESOURCE_ATTRIBUTES": "team=a,env=prod", "OTEL_PREFECT_ATTRIBUTES": " team = data%2C core "}
    )
    assert read.attributes == {"team": "data, core", "env": "prod"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_PREFECT_GRPC_ENDPOINT", "4317"),
        ("OTEL_PREFECT_HTTP_ENDPOINT", "http://127.0.0.1:4318"),
        ("OTEL_PREFECT_HEALTH_ENDPOINT", "127.0.0.1:99999"),
        ("OTEL_PREFECT_COLLECTOR", "manage"),
        ("OTEL_PREFECT_DRAIN_SECONDS", "soon"),
        ("OTEL_PREFECT_DRAIN_SECONDS", "-1"),
        ("OTEL_PREFECT_DRAIN_SECONDS", "nan"),
        ("OTEL_PREFECT_DRAIN_SECONDS", "inf"),
        ("OTEL_PREFECT_MAX_REQUEST_MIB", "0"),
        ("OTEL_PREFECT_ATTRIBUTES", "team"),
        ("OTEL_PREFECT_ATTRIBUTES", "=data"),
        ("PREFECT_API_URL", "prefect.internal/api"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_variables_name_and_value(name: str, value: str) -> None:
    with pytest.raises(SettingError) as error:
        settings.read({name: value})
    assert name in str(error.value)
    assert value in str(error.value)


def test_prefects_key_wins_over_basic_auth_and_neither_is_shown() -> None:
    both = {
        "PREFECT_API_URL": "http://x/api/",
        "PREFECT_API_KEY": "pnu_s3cret",
        "PREFECT_API_AUTH_STRING": "u:p",
    }
    api = settings.read(both).prefect_api
    assert api is not None
    assert (api.url, api.authorization) == ("http://x/api", "Bearer pnu_s3cret")
    basic = settings.read({**both, "PREFECT_API_KEY": ""}).prefect_api
    assert basic is not None
    assert basic.authorization == "Basic " + base64.b64encode(b"u:p").decode()
    assert "s3cret" not in repr(settings.read(both))


def test_a_login_in_prefects_url_becomes_basic_auth_and_is_not_shown() -> None:
    api = settings.read({"PREFECT_API_URL": "https://u:s3cret%21@host:8/api"}).prefect_api
    assert api is not None
    assert api.url == "https://host:8/api"
    assert api.authorization == "Basic " + base64.b64encode(b"u:s3cret!").decode()
    assert "s3cret" not in repr(api)
    with pytest.raises(SettingError) as error:
        settings.read({"PREFECT_API_URL": "u:s3cret@host/api"})
    assert "s3cret" not in str(error.value)


def test_headers_for_prefects_api_are_read_as_prefect_reads_them() -> None:
    variables = {"PREFECT_API_URL": "http://x/api", "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Token": "s3cret"}'}
    api = settings.read(variables).prefect_api
    assert api is not None
    assert api.headers == {"X-Token": "s3cret"}
    assert "s3cret" not in repr(api)
    for wrong in ("s3cret", '{"X-Token": 1}', '["s3cret"]'):
        with pytest.raises(SettingError, match="PREFECT_CLIENT_CUSTOM_HEADERS") as error:
            settings.read({**variables, "PREFECT_CLIENT_CUSTOM_HEADERS": wrong})
        assert "s3cret" not in str(error.value)


def test_a_file_of_authorities_that_is_not_there_is_said() -> None:
    with pytest.raises(SettingError, match=r"PREFECT_API_SSL_CERT_FILE=.*no such file"):
        settings.read({"PREFECT_API_URL": "https://x/api", "PREFECT_API_SSL_CERT_FILE": "/nowhere.pem"})


def test_attributes_to_overwrite_are_a_list_of_names() -> None:
    assert settings.read({"OTEL_PREFECT_OVERWRITE": "team, stage,"}).overwrite == {"team", "stage"}
    assert settings.read({}).overwrite == frozenset()

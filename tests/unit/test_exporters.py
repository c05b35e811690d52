"""Which exporters a process gets."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from otel_prefect.export.delivery import Delivery, QuietExporter
from otel_prefect.export.exporters import Signal, exporters, hasty_exporters


def endpoint(signal: Signal, environ: dict[str, str]) -> str:
    (exporter,) = exporters(signal, Delivery(1.0), environ)
    found: str = exporter._endpoint
    return found


@pytest.mark.parametrize(
    ("signal", "kind"),
    [("traces", OTLPSpanExporter), ("logs", OTLPLogExporter), ("metrics", OTLPMetricExporter)],
)
def test_by_default_each_signal_goes_to_the_sidecar_over_http(signal: Signal, kind: type) -> None:
    (exporter,) = exporters(signal, Delivery(1.0), {})
    assert isinstance(exporter, kind)
    assert endpoint(signal, {}) == f"http://127.0.0.1:4318/v1/{signal}"


def test_the_endpoint_variables_keep_their_meaning() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9999/",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:7777/mine",
    }
    assert endpoint("traces", environ) == "http://127.0.0.1:9999/v1/traces"
    assert endpoint("logs", environ) == "http://127.0.0.1:7777/mine"


def test_none_is_no_exporter() -> None:
    assert exporters("traces", Delivery(1.0), {"OTEL_TRACES_EXPORTER": "none"}) == []


def test_several_names_are_several_exporters() -> None:
    made = exporters("traces", Delivery(1.0), {"OTEL_TRACES_EXPORTER": "otlp, console"})
    assert [type(exporter) for exporter in made] == [OTLPSpanExporter, ConsoleSpanExporter]


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({"OTEL_TRACES_EXPORTER": "nosuch"}, "'nosuch'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, "'carrier-pigeon'"),
    ],
)
def test_an_exporter_that_is_not_installed_is_left_out_with_a_warning_that_shows_it(
    environ: dict[str, str], shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert exporters("traces", Delivery(1.0), environ) == []
    assert shown in caplog.text
    assert "OTEL_TRACES_EXPORTER" in caplog.text


def test_news_goes_to_otlp_only() -> None:
    def kinds(environ: dict[str, str]) -> list[type]:
        return [type(exporter) for exporter in hasty_exporters(2.0, environ)]

    assert kinds({}) == [OTLPSpanExporter]
    assert kinds({"OTEL_TRACES_EXPORTER": "console, otlp"}) == [OTLPSpanExporter]
    assert kinds({"OTEL_TRACES_EXPORTER": "console"}) == kinds({"OTEL_TRACES_EXPORTER": "none"}) == []
    assert kinds({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) == [GrpcSpanExporter]


def test_a_proxy_never_stands_before_loopback() -> None:
    delivery = Delivery(1.0)
    assert delivery.session("http://127.0.0.1:4318/v1/traces").trust_env is False
    assert delivery.session("https://collector.example.com/v1/traces").trust_env is True


def test_the_exporters_do_not_log_each_batch_but_anything_else() -> None:
    exporters("traces", Delivery(1.0), {})
    logger = logging.getLogger(OTLPSpanExporter.__module__)
    (quiet,) = [present for present in logger.filters if isinstance(present, QuietExporter)]

    def passes(text: str) -> bool:
        return quiet.filter(logging.LogRecord("x", logging.ERROR, "", 1, text, (), None))

    assert not passes("Failed to export %s batch code: %s, reason: %s")
    assert not passes("Transient error %s encountered while exporting %s batch, retrying in %.2fs.")
    assert passes("Unsupported compression type: %s")

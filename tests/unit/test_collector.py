"""What the Collector is started with, as a pure function of the environment."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_prefect import semconv
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = collector.config_dir({})
LAYERS = sorted(f"{path.parent.name}/{path.stem}" for signal in ("traces", "logs", "metrics")
                for path in (CONFIG / signal).glob("*.yaml"))  # fmt: skip
PARTS = [
    "ecs",
    "redaction",
    *sorted(f"prometheus/{path.stem}" for path in (CONFIG / "prometheus").glob("*.yaml")),
]
OTLP_URL = "http://prometheus:9090/api/v1/otlp/v1/metrics"
WRITE_URL = "http://prometheus:9090/api/v1/write"
MANAGED_URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
SECTIONS = ("receivers", "processors", "exporters", "extensions")


def load(layer: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONFIG / f"{layer}.yaml").read_text())
    return document


def defined(layer: str) -> set[str]:
    """Return the keys that a file defines, as ``section/name``."""
    document = load(layer)
    keys = {f"{section}/{name}" for section in SECTIONS for name in document.get(section) or {}}
    return keys | {f"pipelines/{name}" for name in document.get("service", {}).get("pipelines", {})}


def names(files: list[Path]) -> list[str]:
    return [str(file.relative_to(CONFIG)) for file in files]


def test_without_variables_data_goes_to_xray_cloudwatch_and_emf() -> None:
    assert names(collector.config_files({})) == [
        "base.yaml", "traces/xray.yaml", "logs/cloudwatch.yaml", "metrics/emf.yaml",
    ]  # fmt: skip


def test_an_empty_variable_means_its_default() -> None:
    environ = {semconv.ENV_TRACES.name: "", semconv.ENV_LOGS.name: " , "}
    assert names(collector.config_files(environ)) == names(collector.config_files({}))


def test_layers_are_taken_in_the_order_written_and_each_once() -> None:
    environ = {semconv.ENV_TRACES.name: "otlp, xray,otlp"}
    assert collector.layers(environ)[:2] == ("traces/otlp", "traces/xray")


def test_an_unknown_layer_is_named_with_its_variable_and_the_known_ones() -> None:
    with pytest.raises(collector.UnknownLayer) as caught:
        collector.config_files({semconv.ENV_METRICS.name: "emf,statsd"})
    assert str(caught.value) == (
        "OTEL_PREFECT_METRICS: there is no layer 'statsd' for metrics; "
        "known are cloudwatch-otlp, debug, emf, none, otlp, prometheus"
    )


def test_a_users_own_files_come_after_everything_that_is_shipped(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("{}")
    arguments = collector.arguments({semconv.ENV_COLLECTOR_CONFIG.name: str(own)})
    assert arguments[-2:] == ["--config", str(own)]
    assert arguments[-3].startswith("yaml:service::extensions:")


def test_a_missing_file_of_the_users_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^OTEL_PREFECT_COLLECTOR_CONFIG: there is no file .*gone"):
        collector.arguments({semconv.ENV_COLLECTOR_CONFIG.name: str(tmp_path / "gone.yaml")})


def test_a_folder_without_base_yaml_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^OTEL_PREFECT_COLLECTOR_CONFIG_DIR: "):
        collector.config_files({semconv.ENV_COLLECTOR_CONFIG_DIR.name: str(tmp_path)})


def test_an_extension_that_a_layer_defines_is_listed_when_the_layer_is_used() -> None:
    for layer in LAYERS:
        signal, _, name = layer.partition("/")
        if layer.endswith("/opensearch"):
            continue
        environ = {f"OTEL_PREFECT_{signal.upper()}": name, semconv.ENV_PROMETHEUS_ENDPOINT.name: OTLP_URL}
        listed = next(each for each in collector.arguments(environ) if each.startswith("yaml:"))
        for extension in load(layer).get("extensions", {}):
            assert extension in listed, f"{layer} defines {extension}, which {listed} does not start"


def files_for_prometheus(**variables: str) -> list[str]:
    environ = {
        "OTEL_PREFECT_TRACES": "none",
        "OTEL_PREFECT_LOGS": "none",
        "OTEL_PREFECT_METRICS": "prometheus",
        **variables,
    }
    return names(collector.config_files(environ))[4:]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (OTLP_URL, ["prometheus/otlp.yaml"]),
        (WRITE_URL, ["prometheus/remote-write.yaml"]),
        (MANAGED_URL, ["prometheus/remote-write.yaml", "prometheus/sigv4.yaml"]),
    ],
)
def test_prometheus_is_spoken_to_as_its_address_asks(url: str, expected: list[str]) -> None:
    assert files_for_prometheus(OTEL_PREFECT_PROMETHEUS_ENDPOINT=url) == expected


def test_a_variable_says_whether_requests_to_prometheus_are_signed() -> None:
    unsigned = {"OTEL_PREFECT_PROMETHEUS_ENDPOINT": MANAGED_URL, "OTEL_PREFECT_PROMETHEUS_SIGV4": "false"}
    assert files_for_prometheus(**unsigned) == ["prometheus/remote-write.yaml"]
    signed = {"OTEL_PREFECT_PROMETHEUS_ENDPOINT": WRITE_URL, "OTEL_PREFECT_PROMETHEUS_SIGV4": "true"}
    assert files_for_prometheus(**signed) == ["prometheus/remote-write.yaml", "prometheus/sigv4.yaml"]


@pytest.mark.parametrize("url", ["", "prometheus:9090", "ftp://prometheus/v1/metrics", "http:///v1/metrics"])
def test_a_layer_for_prometheus_without_an_address_is_refused_by_the_variables_name(url: str) -> None:
    with pytest.raises(collector.InvalidSetting, match="OTEL_PREFECT_PROMETHEUS_ENDPOINT"):
        files_for_prometheus(OTEL_PREFECT_PROMETHEUS_ENDPOINT=url)


def test_containers_are_measured_where_ecs_has_its_metadata_endpoint() -> None:
    assert "ecs.yaml" not in names(collector.config_files({}))
    environ = {semconv.ENV_ECS_METADATA.name: "http://169.254.170.2/v4/0"}
    assert "ecs.yaml" in names(collector.config_files(environ))
    assert "ecs.yaml" not in names(collector.config_files(environ, collector.GATEWAY))


@pytest.mark.parametrize(("one", "other"), list(combinations(["base", *LAYERS, *PARTS], 2)))
def test_no_two_files_define_the_same_key(one: str, other: str) -> None:
    """So merging any of them gives each as it stands in its file."""
    # Two ways of speaking to Prometheus, of which one is used; the third file adds to the second.
    if one.startswith("prometheus/") and other.startswith("prometheus/"):
        return
    assert defined(one) & defined(other) == set()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_pipeline_begins_with_the_memory_limiter(layer: str) -> None:
    for name, pipeline in load(layer)["service"]["pipelines"].items():
        assert pipeline["processors"][0] == "memory_limiter", name


@pytest.mark.parametrize("layer", LAYERS)
def test_every_exporter_that_sends_retries_for_ever_from_a_queue_on_disk(layer: str) -> None:
    """Exporters that have neither (awsxray, awsemf) stand behind a loop that has both."""
    without = {"nop", "debug", "awsxray", "awsemf"}
    for name, exporter in load(layer)["exporters"].items():
        if name.partition("/")[0] in without:
            continue
        assert exporter["retry_on_failure"]["max_elapsed_time"] == 0, name
        queue = exporter["sending_queue"]
        assert queue["storage"] == "file_storage/queue", name
        assert queue["sizer"] == "bytes", name
        assert queue["queue_size"].startswith("${env:OTEL_PREFECT_QUEUE_BYTES"), name


@pytest.mark.parametrize("layer", [each for each in LAYERS if each.startswith("traces/")])
def test_spans_in_progress_go_to_classic_xray_only(layer: str) -> None:
    everything = (CONFIG / f"{layer}.yaml").read_text()
    takes_them = layer in {"traces/xray", "traces/none"}
    assert (f'["{semconv.XRAY_IN_PROGRESS}"] == true' in everything) != takes_them


def test_every_default_in_the_yaml_is_the_one_that_the_docs_show() -> None:
    """Only AWS's own variables are not ours to document."""
    variables = {variable.name: variable for variable in semconv.variables()}
    computed = {semconv.ENV_LOG_STREAM.name, semconv.ENV_OTLP_INSECURE.name,
                semconv.ENV_OPENSEARCH_AUTHORIZATION.name, semconv.ENV_QUEUE_BYTES.name,
                    semconv.ENV_XRAY_SDK_TARGET.name, semconv.ENV_ENDPOINT_XRAY.name,
                semconv.ENV_ENDPOINT_LOGS.name, semconv.ENV_ENDPOINT_MONITORING.name}  # fmt: skip
    second = {semconv.ENV_OTLP_ENDPOINT.name}  # where the second Collector listens; no default for senders
    found = set()
    for path in CONFIG.rglob("*.yaml"):
        for name, default in re.findall(r"\$\{env:([A-Z0-9_]+)(?::-([^}]*))?\}", path.read_text()):
            if name.startswith("AWS_"):
                continue
            found.add(name)
            variable = variables[name]
            assert "collector" in variable.read_by, name
            if name not in computed | second:
                assert default == variable.default, f"{path.name}: {name}"
    assert len(found) > 15


@pytest.mark.parametrize(("annotation", "attribute"), semconv.ANNOTATIONS.items())
def test_the_xray_layer_sets_and_indexes_each_annotation(annotation: str, attribute: str) -> None:
    layer = load("traces/xray")
    assert annotation in layer["exporters"]["awsxray"]["indexed_attributes"]
    statements = " ".join(layer["processors"]["transform/xray"]["trace_statements"])
    assert f'set(span.attributes["{annotation}"], resource.attributes["{attribute}"])' in statements


def test_an_empty_variable_of_ours_does_not_reach_the_collector_but_others_do() -> None:
    environ = collector.environment({semconv.ENV_LOG_GROUP.name: "", "AWS_PROFILE": "", "HOME": "/h"})
    assert semconv.ENV_LOG_GROUP.name not in environ
    assert environ["AWS_PROFILE"] == ""
    assert environ["HOME"] == "/h"


@pytest.mark.parametrize(
    ("endpoint", "insecure"),
    [
        ("127.0.0.1:4317", "true"),
        ("localhost:4317", "true"),
        ("[::1]:4317", "true"),
        ("http://otel.example.com:4317", "true"),
        ("https://otel.example.com:4317", None),
        ("otel.example.com:4317", None),
        ("10.0.0.7:4317", None),
        ("", None),
    ],
)
def test_only_a_loopback_address_or_one_of_http_is_spoken_to_without_tls(
    endpoint: str, insecure: str | None
) -> None:
    environ = collector.environment({semconv.ENV_OTLP_ENDPOINT.name: endpoint})
    assert environ.get(semconv.ENV_OTLP_INSECURE.name) == insecure


def test_what_the_user_says_of_tls_stands() -> None:
    said = {semconv.ENV_OTLP_ENDPOINT.name: "127.0.0.1:1", semconv.ENV_OTLP_INSECURE.name: "false"}
    assert collector.environment(said)[semconv.ENV_OTLP_INSECURE.name] == "false"


def test_user_and_password_of_opensearch_become_a_header() -> None:
    environ = {semconv.ENV_OPENSEARCH_USERNAME.name: "ann", semconv.ENV_OPENSEARCH_PASSWORD.name: "a:b"}
    header = collector.environment(environ)[semconv.ENV_OPENSEARCH_AUTHORIZATION.name]
    assert header == "Basic YW5uOmE6Yg=="


def test_a_named_collector_that_cannot_be_run_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "otelcol").write_text("")
    with pytest.raises(collector.CollectorNotFound, match=r"^OTELCOL_BIN: .*otelcol is not a program"):
        collector.find({semconv.ENV_OTELCOL_BIN.name: str(tmp_path / "otelcol")})


def test_a_collector_that_was_not_built_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    for name in ("builder.yaml", "opensearch/builder.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("dist: {version: 9.9.9}")
    environ = {semconv.ENV_COLLECTOR_CONFIG_DIR.name: str(tmp_path)}
    with pytest.raises(
        collector.CollectorNotFound, match="run `otel-prefect collector build`, or set OTELCOL_BIN"
    ):
        collector.find(environ)
    with pytest.raises(collector.CollectorNotFound, match="build --distribution opensearch`"):
        collector.find(environ, collector.OPENSEARCH)


def test_a_changed_manifest_is_another_collector(tmp_path: Path) -> None:
    environ = {semconv.ENV_COLLECTOR_CONFIG_DIR.name: str(tmp_path)}
    paths = set()
    for text in ("a", "b", "a"):
        (tmp_path / "builder.yaml").write_text(text)
        paths.add(collector.built_path(environ))
    assert len(paths) == 2


def test_the_second_collector_has_the_opensearch_layers_whatever_the_environment_says() -> None:
    files = collector.config_files({semconv.ENV_TRACES.name: "xray"}, collector.OPENSEARCH)
    assert names(files) == ["opensearch/base.yaml", "traces/opensearch.yaml", "logs/opensearch.yaml"]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"AWS_REGION": "eu-west-1"}, "https://xray.eu-west-1.amazonaws.com"),
        ({"AWS_REGION": "cn-north-1"}, "https://xray.cn-north-1.amazonaws.com.cn"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000/"}, "http://127.0.0.1:5000"),
        (
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_XRAY": "https://vpce.example.com"},
            "https://vpce.example.com",
        ),
        (
            {"AWS_ENDPOINT_URL_XRAY": "http://a", semconv.ENV_ENDPOINT_XRAY.name: "https://own.example.com"},
            "https://own.example.com",
        ),
    ],
)
def test_the_otlp_endpoint_is_the_named_one_else_the_sdks_else_the_regions(
    environ: dict[str, str], url: str
) -> None:
    assert collector.environment(environ)[semconv.ENV_ENDPOINT_XRAY.name] == url


def test_traces_that_were_not_picked_yet_go_to_xray() -> None:
    files = collector.config_files({semconv.ENV_TRACES.name: "auto,xray,otlp"})
    assert [path.stem for path in files if path.parent.name == "traces"] == ["xray", "otlp"]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "OTEL_PREFECT_GATEWAYS: is needed by a balancer that finds its gateways by static"),
        (
            {semconv.ENV_GATEWAY_RESOLVER.name: "k8s"},
            "OTEL_PREFECT_GATEWAY_RESOLVER='k8s': one of static, dns, cloud-map is needed",
        ),
        (
            {semconv.ENV_GATEWAY_RESOLVER.name: "cloud-map", semconv.ENV_GATEWAYS.name: "gateways"},
            "OTEL_PREFECT_GATEWAYS_NAMESPACE: is needed by a balancer that finds its gateways by cloud-map",
        ),
    ],
)
def test_a_balancer_that_is_not_told_its_gateways_says_what_is_missing(
    environ: dict[str, str], said: str
) -> None:
    with pytest.raises(collector.InvalidSetting) as caught:
        collector.arguments(environ, collector.BALANCER)
    assert str(caught.value) == said


def test_a_gateways_layers_take_what_was_decided_on() -> None:
    environ = collector.environment({}, collector.GATEWAY)
    assert environ[semconv.ENV_ENTRY.name] == "forward/sampled"
    assert semconv.ENV_ENTRY.name not in collector.environment({})

"""Every admin page of a gateway with two workers, as tools made for Envoy read them: istioctl, curl, Prometheus."""

import base64
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, gateway_with_two_workers, http_listener
from lab import GATEWAY, HOST, Namespace, static_cluster, wait_until

TICKET_KEY = base64.b64encode(b"K" * 80).decode()
ROUTES = "[{match: {prefix: /}, route: {cluster: origin}}]"

# The form of Istio's: its own tags instead of Envoy's, and few statistics.
TOP = r"""node: {id: n1, cluster: c1, metadata: {ISTIO_VERSION: 1.27.9}}
application_log_config: {log_format: {text_format: "%l\tmillrace %n\t%v"}}
layered_runtime: {layers: [{name: global, static_layer: {a.b: 32768, a.c: x}}, {name: admin, admin_layer: {}}]}
deferred_stat_options: {enable_deferred_creation_stats: true}
bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config:
    "@type": type.googleapis.com/udpa.type.v1.TypedStruct
    type_url: type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener
    value: {buffer_size_kb: 64}
stats_config:
  use_all_default_tags: false
  stats_tags:
  - {tag_name: cluster_name, regex: "^cluster(\\.(.+);)"}
  - {tag_name: response_code_class, regex: "_rq(_(\\dxx))$"}
  - {tag_name: listener_address, regex: "^listener(?=\\.)\\.(((?:[_.[:digit:]]*|[_\\[\\]aAbBcCdDeEfF[:digit:]]*))\\.)"}
  stats_matcher: {inclusion_list: {patterns: [{prefix: cluster.origin}, {prefix: listener.}, {prefix: server}]}}
"""


def page(gateway, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body, whatever the status."""
    try:
        return 200, gateway.admin(path, method)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def sections(gateway, query: str = "") -> dict[str, dict]:
    return {config["@type"].rpartition(".")[2]: config for config in json.loads(gateway.admin("/config_dump" + query))["configs"]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    clusters = static_cluster("origin", [(HOST, ORIGIN_PORT)], ', alt_stat_name: "origin;"')
    text = TOP + bootstrap(http_listener("edge", 80, ROUTES), clusters) + f"  secrets: [{{name: s, session_ticket_keys: {{keys: [{{inline_bytes: {TICKET_KEY}}}]}}}}]\n"
    directory = tmp_path_factory.mktemp("nginx")
    directory.chmod(0o755)
    directory.parent.chmod(0o755)
    with Namespace() as namespace, gateway_with_two_workers(namespace, text) as gateway:
        Origin(namespace, directory)
        for _ in range(8):
            namespace.run(["curl", "-sS", "--max-time", "10", "-o", "/dev/null", f"http://{GATEWAY}/ok"])
        yield namespace, gateway


def test_the_config_dump_has_everything_but_secrets(lab):
    _, gateway = lab
    assert TICKET_KEY[:8] not in gateway.admin("/config_dump?include_eds")
    dump = sections(gateway, "?include_eds")
    assert list(dump) == ["BootstrapConfigDump", "ClustersConfigDump", "EcdsConfigDump", "EndpointsConfigDump", "ListenersConfigDump",
                          "ScopedRoutesConfigDump", "RoutesConfigDump", "SecretsConfigDump"]
    assert dump["BootstrapConfigDump"]["bootstrap"]["node"]["id"] == "n1"
    assert dump["ClustersConfigDump"]["static_clusters"][0]["cluster"]["name"] == "origin"
    assert dump["ListenersConfigDump"]["static_listeners"][0]["listener"]["name"] == "edge"
    assert dump["RoutesConfigDump"]["static_route_configs"][0]["route_config"]["name"] == "edge"
    assert dump["SecretsConfigDump"]["static_secrets"][0]["secret"]["session_ticket_keys"] == {
        "keys": [{"inline_bytes": base64.b64encode(b"[redacted]").decode()}]}
    (endpoints,) = dump["EndpointsConfigDump"]["static_endpoint_configs"]
    assert endpoints["endpoint_config"]["endpoints"][0]["lb_endpoints"][0]["health_status"] == "HEALTHY"


def test_the_config_dump_takes_parameters(lab):
    _, gateway = lab
    (cluster,) = json.loads(gateway.admin("/config_dump?resource=static_clusters&mask=cluster.name"))["configs"]
    assert cluster["cluster"] == {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "origin"}
    assert json.loads(gateway.admin("/config_dump?resource=static_clusters&name_regex=x.*")) == {}
    assert page(gateway, "/config_dump?resource=nothing") == (404, "nothing not found in config dump")
    assert page(gateway, "/config_dump?mask=nothing")[0] == 400
    assert json.loads(gateway.admin("/init_dump")) == {}


def test_clusters_and_listeners(lab):
    _, gateway = lab
    (cluster,) = json.loads(gateway.admin("/clusters?format=json"))["cluster_statuses"]
    assert cluster["name"] == "origin" and cluster["observability_name"] == "origin;"
    (host,) = cluster["host_statuses"]
    assert host["address"] == {"socket_address": {"address": HOST, "port_value": ORIGIN_PORT}}
    assert host["health_status"] == {"eds_health_status": "HEALTHY"} and host["weight"] == 1
    assert {"value": "8", "name": "rq_total"} in host["stats"], "of both workers together"
    assert {"name": "cx_connect_fail"} in host["stats"]
    assert f"origin::{HOST}:{ORIGIN_PORT}::rq_total::8\n" in gateway.admin("/clusters")
    assert gateway.admin("/listeners") == f"edge::{GATEWAY}:80\n"
    assert json.loads(gateway.admin("/listeners?format=json")) == {"listener_statuses": [
        {"name": "edge", "local_address": {"socket_address": {"address": GATEWAY, "port_value": 80}}}]}


def test_what_the_server_says_of_itself(lab):
    _, gateway = lab
    info = json.loads(gateway.admin("/server_info"))
    assert info["state"] == "LIVE" and info["node"]["metadata"]["ISTIO_VERSION"] == "1.27.9"
    assert info["command_line_options"]["concurrency"] == 2 and info["command_line_options"]["restart_epoch"] == 0
    memory = json.loads(gateway.admin("/memory"))
    # Of a sanitized build the heap is the sanitizer's: nothing is allocated there.
    assert int(memory["total_physical_bytes"]) > int(memory["allocated"]) >= (0 if os.environ.get("MILLRACE_SANITIZE") else 1)
    assert json.loads(gateway.admin("/certs")) == {"certificates": []}
    assert gateway.admin("/hot_restart_version") == "disabled"
    assert "not enabled" in gateway.admin("/contention")
    assert "  /config_dump: " in gateway.admin("/help") and "  /quitquitquit (POST): " in gateway.admin("/help")
    assert page(gateway, "/nothing")[0] == 404


def test_statistics_are_those_that_stats_config_wants(lab):
    _, gateway = lab
    text = gateway.admin("/stats")
    assert re.search(r"(?m)^cluster\.origin;\.upstream_rq_total: 8$", text)
    assert {line.partition(".")[0] for line in text.splitlines()} == {"cluster", "listener", "server"}
    assert gateway.admin("/stats?filter=upstream_rq_total&usedonly") == "cluster.origin;.upstream_rq_total: 8\n"
    assert not re.search(r"(?m)^.*: 0$", gateway.admin("/stats?usedonly"))
    assert gateway.admin("/stats?filter=server.live&type=Gauges") == "server.live: 1\n"
    assert gateway.admin("/stats?filter=server.live&type=Counters") == ""
    assert page(gateway, "/stats?type=Gauge")[0] == 400 and page(gateway, "/stats?filter=(")[0] == 400
    histograms = json.loads(gateway.admin("/stats?format=json&type=Histograms&histogram_buckets=cumulative"))["stats"][0]["histograms"]
    times = next(h for h in histograms if h["name"] == "cluster.origin;.upstream_rq_time")
    assert times["buckets"][-1] == {"upper_bound": 3600000.0, "interval": 8, "cumulative": 8}


def test_prometheus_has_the_tags_of_stats_config(lab):
    _, gateway = lab
    text = gateway.admin("/stats/prometheus")
    assert re.search(r'(?m)^envoy_cluster_upstream_rq\{cluster_name="origin",response_code_class="2xx"\} 8$', text)
    assert re.search(r'(?m)^envoy_listener_downstream_cx_total\{listener_address="198\.18\.0\.2_80"\} \d+$', text)
    assert "millrace_" not in text and "envoy_http" not in text
    assert gateway.admin("/stats/prometheus?filter=server.live").splitlines()[-1] == "envoy_server_live 1"


def test_runtime_is_shown_and_modified(lab):
    _, gateway = lab
    assert page(gateway, "/runtime_modify?" + urllib.parse.urlencode({"a.c": "y"}), "POST") == (200, "OK\n")
    runtime = json.loads(gateway.admin("/runtime"))
    assert runtime["layers"] == ["global", "admin"]
    assert runtime["entries"]["a.b"] == {"final_value": "32768", "layer_values": ["32768", ""]}
    assert runtime["entries"]["a.c"] == {"final_value": "y", "layer_values": ["x", "y"]}
    assert page(gateway, "/runtime_modify?a.c=", "POST") == (200, "OK\n")
    assert json.loads(gateway.admin("/runtime"))["entries"]["a.c"]["final_value"] == "x"


def test_the_log_has_the_format_of_the_bootstrap_and_changes_its_level(lab):
    _, gateway = lab
    assert re.search(r"(?m)^info\tmillrace main\tall workers serve$", gateway.log_text())
    assert page(gateway, "/logging?level=debug", "POST") == (200, "active loggers:\n  main: debug\n\n")
    assert page(gateway, "/logging?paths=main:info", "POST") == (200, "active loggers:\n  main: info\n\n")
    assert page(gateway, "/logging?rbac=debug", "POST")[0] == 400


def test_health_checks_fail_and_pass_on_request(lab):
    _, gateway = lab
    assert page(gateway, "/healthcheck/fail", "POST") == (200, "OK\n")
    assert page(gateway, "/ready") == (503, "DRAINING\n")
    assert json.loads(gateway.admin("/server_info"))["state"] == "DRAINING"
    assert page(gateway, "/healthcheck/ok", "POST") == (200, "OK\n")
    assert page(gateway, "/ready") == (200, "LIVE\n")


def test_what_changes_something_takes_post_only(lab):
    _, gateway = lab
    for path in ("/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/logging", "/quitquitquit", "/reopen_logs", "/reset_counters",
                 "/runtime_modify"):
        assert page(gateway, path) == (405, "Method GET not allowed, POST required."), path


def test_counters_are_reset_and_count_on(lab):
    namespace, gateway = lab
    assert page(gateway, "/reset_counters", "POST") == (200, "OK\n")
    assert gateway.admin("/stats?filter=upstream_rq_total") == "cluster.origin;.upstream_rq_total: 0\n"
    namespace.run(["curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{GATEWAY}/ok"])
    assert gateway.admin("/stats?filter=upstream_rq_total") == "cluster.origin;.upstream_rq_total: 1\n"


def test_connections_are_asked_to_leave_while_listeners_stay(lab):
    namespace, gateway = lab
    ask = ["curl", "-sS", "-i", "--max-time", "10", f"http://{GATEWAY}/ok"]
    assert "connection: close" not in namespace.run(ask, capture_output=True, text=True).stdout.lower()
    assert page(gateway, "/drain_listeners?skip_exit", "POST") == (400, "skip_exit requires graceful\n")
    assert page(gateway, "/drain_listeners?graceful&skip_exit", "POST") == (200, "OK\n")
    wait_until(lambda: "connection: close" in namespace.run(ask, capture_output=True, text=True).stdout.lower(), 10, "the end of keep-alive")
    assert page(gateway, "/ready") == (200, "LIVE\n")


def test_a_drain_of_all_listeners_is_the_last(lab):
    namespace, gateway = lab
    assert page(gateway, "/drain_listeners?inboundonly&graceful", "POST") == (200, "OK\n"), "there are none"
    assert page(gateway, "/ready") == (200, "LIVE\n")
    assert page(gateway, "/drain_listeners?graceful", "POST") == (200, "OK\n")
    assert page(gateway, "/ready") == (503, "DRAINING\n")

    def refused() -> bool:
        return namespace.run(["curl", "-sS", "-o", "/dev/null", "--max-time", "2", f"http://{GATEWAY}/ok"], check=False,
                             stderr=subprocess.DEVNULL).returncode == 7

    wait_until(refused, 10, "listeners that refuse")


def validate(gateway, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([*gateway.command(), "--mode", "validate", *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_line_of_istios_agent_is_accepted(lab):
    _, gateway = lab
    done = validate(gateway, "--drain-time-s", "45", "--drain-strategy", "immediate", "--local-address-ip-version", "v4", "--file-flush-interval-msec",
                    "1000", "--disable-hot-restart", "--allow-unknown-static-fields", "-l", "warning", "--skip-deprecated-logs")
    assert done.returncode == 0, done.stderr


def test_the_format_of_log_lines_is_given_once(lab):
    _, gateway = lab
    done = validate(gateway, "--log-format", "%v")
    assert done.returncode == 1 and "--log-format and application_log_config" in done.stderr

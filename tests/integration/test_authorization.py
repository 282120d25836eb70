"""Who may do what, by rules in the form that Istio gives them: a client's identity, addresses, paths, methods and headers."""

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT, Origin, bootstrap
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, wait_until

PLAIN, MUTUAL, TCP = 80, 8443, 9000
NAME = "shop.example"
PRODUCT = "spiffe://cluster.local/ns/default/sa/product"
RATINGS = "spiffe://cluster.local/ns/default/sa/ratings"
API = "type.googleapis.com/envoy"
FILTERS = f"{API}.extensions.filters"
ANY = "{any: true}"


def policy(name: str, permissions: str, principals: str = ANY) -> str:
    return f'"{name}": {{permissions: [{permissions}], principals: [{principals}]}}'


def rbac(action: str, *policies: str, more: str = "") -> str:
    rules = f"{{action: {action}, policies: {{{', '.join(policies)}}}}}"
    return f'{{name: envoy.filters.http.rbac, typed_config: {{"@type": {FILTERS}.http.rbac.v3.RBAC, rules: {rules}{more}}}}}'


def header(name: str, match: str) -> str:
    return f'{{header: {{name: "{name}", string_match: {match}}}}}'


# As an AuthorizationPolicy with the action DENY and one with ALLOW: two filters of the same name.
DENY = rbac("DENY", policy("ns[default]-policy[deny]-rule[0]", header(":method", "{exact: DELETE}")),
            policy("ns[default]-policy[deny]-rule[1]", ANY, f"{{and_ids: {{ids: [{header('x-block', '{prefix: yes}')}]}}}}"))
ALLOW = rbac("ALLOW",
             policy("ns[default]-policy[allow]-rule[0]", "{url_path: {path: {exact: /ok}}}"),
             policy("ns[default]-policy[allow]-rule[1]", f"{{and_rules: {{rules: [{{url_path: {{path: {{prefix: /admin/}}}}}}]}}}}",
                    "{direct_remote_ip: {address_prefix: 198.18.0.99, prefix_len: 32}}"),
             more=", shadow_rules_stat_prefix: dry_, shadow_rules: {action: DENY, policies: {all: {permissions: [{any: true}], "
                  "principals: [{any: true}]}}}")
IDENTITY = rbac("ALLOW",
                policy("product", "{url_path: {path: {prefix: /ok}}}", f'{{authenticated: {{principal_name: {{exact: "{PRODUCT}"}}}}}}'),
                policy("anybody", "{url_path: {path: {exact: /public}}}", "{authenticated: {}}"))


def manager(name: str, filters: str) -> str:
    return f"""      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {FILTERS}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          access_log: [{{name: log, typed_config: {{"@type": {API}.extensions.access_loggers.stream.v3.StdoutAccessLog,
            log_format: {{text_format_source: {{inline_string: "{name} %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\\n"}}}}}}}}]
          http_filters: [{filters}, {{name: router, typed_config: {{"@type": {FILTERS}.http.router.v3.Router}}}}]
          route_config: {{name: {name}, virtual_hosts: [{{name: all, domains: ["*"], routes: [
            {{match: {{path: /ok}}, route: {{cluster: origin}}}}, {{match: {{prefix: /}}, direct_response: {{status: 200, body: {{inline_string: reached}}}}}}]}}]}}
"""


def listener(name: str, port: int, chain: str) -> str:
    return f"  - name: {name}\n    address: {{socket_address: {{address: {GATEWAY}, port_value: {port}}}}}\n    filter_chains:\n    -\n{chain}"


class World:
    def __init__(self, directory):
        self.ca = Authority(directory, "authority")
        self.server = self.ca.issue("server", names=f"DNS:{NAME}")
        self.product = self.ca.issue("product", names=f"URI:{PRODUCT}")
        self.ratings = self.ca.issue("ratings", names=f"URI:{RATINGS}")

    def bootstrap(self) -> str:
        chain, key = self.server
        context = (f"common_tls_context: {{tls_certificates: [{{certificate_chain: {{filename: {chain}}}, private_key: {{filename: {key}}}}}], "
                   f"validation_context: {{trusted_ca: {{filename: {self.ca.certificate}}}}}}}")
        socket = (f'      transport_socket: {{name: tls, typed_config: {{"@type": {API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext, '
                  f"{context}}}}}\n")
        local = "{action: DENY, policies: {p: {permissions: [{destination_port: %d}], principals: [{any: true}]}}}" % TCP
        tcp = f"""      filters:
      - {{name: rbac, typed_config: {{"@type": {FILTERS}.network.rbac.v3.RBAC, stat_prefix: tcp., rules: {local}}}}}
      - {{name: proxy, typed_config: {{"@type": {FILTERS}.network.tcp_proxy.v3.TcpProxy, stat_prefix: through, cluster: origin}}}}
"""
        return bootstrap(listener("plain", PLAIN, manager("plain", f"{DENY}, {ALLOW}"))
                         + listener("mutual", MUTUAL, socket + manager("mutual", IDENTITY)) + listener("tcp", TCP, tcp),
                         static_cluster("origin", [(HOST, ORIGIN_PORT)]))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("authorization"))


@pytest.fixture(scope="module")
def lab(world, tmp_path_factory):
    with Namespace() as namespace, Gateway(namespace, world.bootstrap()) as gateway:
        Origin(namespace, tmp_path_factory.mktemp("origin"))
        yield namespace, gateway


def ask(namespace, url: str, *arguments) -> tuple[int, str]:
    """Status and body; 0 without an answer."""
    result = namespace.run(["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *map(str, arguments), url], check=False,
                           capture_output=True, text=True)
    body, _, status = result.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("arguments, path, status", [
    ([], "/ok", 200), (["-X", "DELETE"], "/ok", 403), (["-H", "x-block: yes please"], "/ok", 403), ([], "/other", 403),
    ([], "/ok?a=/other", 200), ([], "/admin/x", 403)])
def test_deny_comes_before_allow(lab, arguments, path, status):
    answer = ask(lab[0], f"http://{GATEWAY}{path}", *arguments)
    assert answer[0] == status, answer
    assert status == 200 or answer[1] == "RBAC: access denied"


def test_the_access_log_names_the_policy(lab):
    namespace, gateway = lab
    ask(namespace, f"http://{GATEWAY}/ok", "-X", "DELETE")
    ask(namespace, f"http://{GATEWAY}/nowhere")
    for policy_name in ("ns[default]-policy[deny]-rule[0]", "none"):  # lines are written a moment later
        line = f"plain 403 rbac_access_denied_matched_policy[{policy_name}]"
        wait_until(lambda: line in gateway.log_text(), 5, f"the access log has the line {line!r}")


def test_shadow_rules_deny_nobody_and_are_counted(lab):
    namespace, gateway = lab
    before = gateway.stats("rbac")
    assert ask(namespace, f"http://{GATEWAY}/ok")[0] == 200
    after = gateway.stats("rbac")
    assert after["http.plain.rbac.dry_shadow_denied"] == before["http.plain.rbac.dry_shadow_denied"] + 1
    assert after["http.plain.rbac.allowed"] == before["http.plain.rbac.allowed"] + 2, "both filters allow it"


@pytest.mark.parametrize("who, path, status", [
    ("product", "/ok", 200), ("ratings", "/ok", 403), (None, "/ok", 403), (None, "/public", 200), ("ratings", "/public", 200)])
def test_an_identity_is_that_of_the_certificate(lab, world, who, path, status):
    arguments = ["--cacert", world.ca.certificate, "--resolve", f"{NAME}:{MUTUAL}:{GATEWAY}"]
    if who:
        certificate, key = getattr(world, who)
        arguments += ["--cert", certificate, "--key", key]
    assert ask(lab[0], f"https://{NAME}:{MUTUAL}{path}", *arguments)[0] == status


def test_connections_are_denied_too(lab):
    namespace, gateway = lab
    assert ask(namespace, f"http://{GATEWAY}:{TCP}/ok")[0] == 0
    assert gateway.stats("^tcp.rbac")["tcp.rbac.denied"] >= 1

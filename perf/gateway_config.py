"""What the gateway is asked to do in every measurement: one route, everything to the cluster "origin", no access log."""

from __future__ import annotations

BOOTSTRAP = """static_resources:
  listeners:
{listeners}  clusters:
{clusters}"""
LISTENER = """  - name: edge-{address}-{port}
    address: {{socket_address: {{address: {address}, port_value: {port}}}}}
    filter_chains:
    - {transport_socket}filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          use_remote_address: true
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config: {{name: edge, virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, {action}}}]}}]}}
"""


FORWARD, ANSWER = "route: {cluster: origin, timeout: 60s}", "direct_response: {status: 200}"


def bootstrap(addresses: list[tuple[str, int]], clusters: str, transport_socket: str = "", answered: list[tuple[str, int]] = ()) -> str:
    """`transport_socket`: of all listeners, in YAML; empty: plain text. `answered`: further addresses, where the gateway answers itself."""
    # Both halves of every handshake share a CPU with the clients here: those of a burst take longer than the usual 15 s.
    socket = f"transport_socket: {transport_socket}\n      transport_socket_connect_timeout: 120s\n      " if transport_socket else ""
    listeners = "".join(LISTENER.format(address=address, port=port, transport_socket=socket, action=action)
                        for action, listening in ((FORWARD, addresses), (ANSWER, answered)) for address, port in listening)
    return BOOTSTRAP.format(listeners=listeners, clusters=clusters)

"""What listeners have from their control plane besides routes: configurations of filters, layers of the runtime, scopes of routes."""

import json

import pytest

from conftest import ORIGIN_PORT
from lab import GATEWAY, wait_until
from xds_lab import ADS, API, FORMS, Load, ads_bootstrap, answer, assignment, eds_cluster, listener, management_cluster, routes, serving

MUTATION = f"{API}.extensions.filters.http.header_mutation.v3.HeaderMutation"


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def first_clusters(plane):
    plane.set("CDS", "1", eds_cluster("found"))
    plane.set("EDS", "1", assignment("found", ORIGIN_PORT))


def manager_of(given: dict) -> dict:
    return given["filter_chains"][0]["filters"][0]["typed_config"]


def mark(value: str) -> dict:
    """The configuration of a filter that writes `value` into responses."""
    field = {"header": {"key": "x-mark", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"@type": MUTATION, "mutations": {"response_mutations": [{"append": field}]}}


def marked(namespace, value: str) -> bool:
    return f"x-mark: {value}\n" in answer(namespace)


def test_a_filter_comes_changes_and_goes_under_load(plane, form, tmp_path):
    first_clusters(plane)
    edge = listener("edge", 80)
    discovery = {"config_source": ADS, "type_urls": [MUTATION], "default_config": mark("default")}
    manager_of(edge)["http_filters"].insert(0, {"name": "mark", "config_discovery": discovery})
    plane.set("LDS", "1", edge)
    plane.set("RDS", "1", routes("routes", "found"))
    plane.set("ECDS", "1", {"name": "mark", "typed_config": mark("1")})
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, gateway):
        prefix = "extension_config_discovery.http_filter.mark."
        assert marked(namespace, "1")
        with Load(namespace, gateway):
            for value in ("2", "3", "4"):
                plane.set("ECDS", value, {"name": "mark", "typed_config": mark(value)})
                plane.wait_for_ack("ECDS", value)
                wait_until(lambda value=value: marked(namespace, value), 5, "the new configuration")
            plane.set("ECDS", "5", {"name": "mark", "typed_config": {"@type": f"{API}.extensions.filters.http.cors.v3.Cors"}})
            assert "permits only" in plane.wait_for_nack("ECDS", "5")
            assert marked(namespace, "4"), "what ran goes on"
            if "DELTA" in form:
                plane.update("ECDS", "6", remove=["mark"])
                plane.wait_for_ack("ECDS", "6")
                wait_until(lambda: marked(namespace, "default"), 5, "the default")
        assert 40 < gateway.value(f"listener.{GATEWAY}_80.downstream_cx_total") < 200, "connections stay"
        assert gateway.value(prefix + "config_fail") == 1
        assert gateway.value(prefix + "config_reload") == (5 if "DELTA" in form else 4)
        dump = gateway.admin("/config_dump?resource=ecds_filters")
        assert ("mark" in dump) == ("DELTA" not in form)


def test_without_a_configuration_requests_are_answered_with_an_error(plane, tmp_path):
    first_clusters(plane)
    edge = listener("edge", 80)
    discovery = {"config_source": ADS | {"initial_fetch_timeout": "1s"}, "type_urls": [MUTATION]}
    manager_of(edge)["http_filters"].insert(0, {"name": "mark", "config_discovery": discovery})
    plane.set("LDS", "1", edge)
    plane.set("RDS", "1", routes("routes", "found"))
    with serving(ads_bootstrap("DELTA_GRPC", management_cluster("xds", plane.address)), tmp_path) as (namespace, _):
        assert "http/1.1 500 " in answer(namespace)
        plane.set("ECDS", "1", {"name": "mark", "typed_config": mark("1")})
        wait_until(lambda: marked(namespace, "1"), 5, "the configuration that came late")


def test_a_layer_of_the_runtime_shifts_a_fraction(plane, form, tmp_path):
    first_clusters(plane)
    plane.set("LDS", "1", listener("edge", 80))
    table = routes("routes", "found")
    fraction = {"default_value": {"numerator": 0}, "runtime_key": "canary.share"}
    canary = {"match": {"prefix": "/", "runtime_fraction": fraction}, "direct_response": {"status": 418}}
    table["virtual_hosts"][0]["routes"].insert(0, canary)
    plane.set("RDS", "1", table)
    plane.set("RTDS", "1", {"name": "rt", "layer": {"canary": {"share": 100}}})
    layers = {"layers": [{"name": "base", "static_layer": {"canary": {"share": 0}}},
                         {"name": "control", "rtds_layer": {"name": "rt", "rtds_config": ADS}}, {"name": "admin", "admin_layer": {}}]}
    text = ads_bootstrap(form, management_cluster("xds", plane.address)) + f"layered_runtime: {json.dumps(layers)}\n"
    with serving(text, tmp_path) as (namespace, gateway):
        def status() -> str:
            return answer(namespace).split()[1]
        assert status() == "418", "the layer is there before the first request"
        assert json.loads(gateway.admin("/runtime"))["entries"]["canary.share"]["layer_values"] == ["0", "100", ""]
        plane.set("RTDS", "2", {"name": "rt", "layer": {}})
        wait_until(lambda: status() == "200", 5, "the layer below")
        gateway.admin("/runtime_modify?canary.share=100", method="POST")
        wait_until(lambda: status() == "418", 5, "the administrator's value")
        gateway.admin("/runtime_modify?canary.share=", method="POST")
        wait_until(lambda: status() == "200", 5, "the layers below")
        assert gateway.value("runtime.num_layers") == 3


def scope(name: str, key: str, table: str) -> dict:
    return {"name": name, "route_configuration_name": table, "key": {"fragments": [{"string_key": key}]}}


def test_a_header_field_chooses_the_scope_of_routes(plane, form, tmp_path):
    first_clusters(plane)
    edge = listener("edge", 80)
    manager = manager_of(edge)
    del manager["rds"]
    extractor = {"name": "x-tenant", "element_separator": ";", "element": {"separator": "=", "key": "id"}}
    manager["scoped_routes"] = {"name": "tenants", "rds_config_source": ADS, "scoped_rds": {"scoped_rds_config_source": ADS},
                                "scope_key_builder": {"fragments": [{"header_value_extractor": extractor}]}}
    plane.set("LDS", "1", edge)
    plane.set("SRDS", "1", scope("a", "one", "first"), scope("b", "two", "second"))
    plane.set("RDS", "1", routes("first", "found", "first"), routes("second", "found", "second"))
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, gateway):
        def ask(tenant: str) -> str:
            return answer(namespace, 80, "-H", f"x-tenant: a=b;id={tenant}")
        assert "x-generation: first\n" in ask("one")
        assert "x-generation: second\n" in ask("two")
        assert "http/1.1 404 " in ask("three") and "http/1.1 404 " in answer(namespace)
        with Load(namespace, gateway, headers=("x-tenant: id=one",)):
            plane.set("SRDS", "2", scope("a", "one", "first"), scope("c", "three", "second"))
            plane.wait_for_ack("SRDS", "2")
            wait_until(lambda: "x-generation: second\n" in ask("three"), 5, "the new scope")
        if "DELTA" in form:
            plane.update("SRDS", "3", remove=["b"])
        wait_until(lambda: "http/1.1 404 " in ask("two"), 5, "the scope that is gone")
        assert gateway.value("http.edge.scoped_rds.tenants.all_scopes") == 2
        plane.set("SRDS", "4", scope("a", "one", "first"), scope("d", "one", "second"))
        assert "have the same key" in plane.wait_for_nack("SRDS", "4")
        assert "x-generation: first\n" in ask("one")
        assert "tenants" in gateway.admin("/config_dump?resource=dynamic_scoped_route_configs")

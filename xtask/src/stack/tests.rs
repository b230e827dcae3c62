//! The files of deployment, and the password that is made for them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gatewayz_testkit::{skip, tools};
use tempfile::TempDir;

use super::{SECRETS, init};

/// What the checks of the files import.
const PACKAGES: [&str; 5] = [
    "check_jsonschema",
    "cloudcoil",
    "jsonschema",
    "kubernetes_validate",
    "yaml",
];
/// What the checks read.
const CHECKED: [&str; 3] = ["Dockerfile", "deploy", "docker-compose.yml"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names_in(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect()
}

fn checkout_with_secrets_folder() -> TempDir {
    let checkout = tempfile::tempdir().unwrap();
    fs::create_dir_all(checkout.path().join(SECRETS).parent().unwrap()).unwrap();
    checkout
}

#[test]
fn every_machine_gets_a_password_of_its_own_that_only_its_owner_reads() {
    let (one, other) = (checkout_with_secrets_folder(), checkout_with_secrets_folder());

    init(one.path()).unwrap();
    init(other.path()).unwrap();

    let [one, other] = [one, other].map(|checkout| {
        let mode = fs::metadata(checkout.path().join(SECRETS))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::read_to_string(checkout.path().join(SECRETS)).unwrap()
    });
    let password = |text: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("GF_SECURITY_ADMIN_PASSWORD="));
        line.unwrap().to_owned()
    };
    assert_eq!(password(&one).len(), 32);
    assert_ne!(password(&one), password(&other));
}

#[test]
fn a_password_that_is_there_stays() {
    let checkout = checkout_with_secrets_folder();
    fs::write(checkout.path().join(SECRETS), "GF_SECURITY_ADMIN_PASSWORD=mine\n").unwrap();

    init(checkout.path()).unwrap();

    let text = fs::read_to_string(checkout.path().join(SECRETS)).unwrap();
    assert_eq!(text, "GF_SECURITY_ADMIN_PASSWORD=mine\n");
}

#[test]
fn the_file_turns_on_all_that_is_off_without_it() {
    let off = fs::read_to_string(repository().join("deploy/grafana/login-off.env")).unwrap();
    let on = super::secrets("x");

    assert!(names_in(&off).is_subset(&names_in(&on)), "{on}");
    for line in off.lines().filter(|line| !line.starts_with('#')) {
        assert!(!on.contains(line), "{line} is the same with the file");
    }
}

#[test]
fn git_and_the_image_leave_the_password_out() {
    for list in [".gitignore", ".dockerignore"] {
        let text = fs::read_to_string(repository().join(list)).unwrap();
        assert!(
            text.lines().any(|line| line.trim_start_matches('/') == SECRETS),
            "{list}"
        );
    }
}

#[test]
fn the_files_of_deployment_are_valid_and_keep_the_rules() {
    let name = "the_files_of_deployment_are_valid_and_keep_the_rules";
    let python = match tools::python_with(&PACKAGES) {
        Ok(python) => python,
        Err(reason) => return skip(name, &reason),
    };

    let output = checked(&python, &repository()).output().unwrap();

    assert!(output.status.success(), "{}", text_of(&output));
}

#[test]
fn each_mistake_in_the_files_of_deployment_is_named() {
    let name = "each_mistake_in_the_files_of_deployment_is_named";
    let python = match tools::python_with(&PACKAGES) {
        Ok(python) => python,
        Err(reason) => return skip(name, &reason),
    };
    let compose = "docker-compose.yml";
    let deployment = "deploy/kubernetes/base/deployment.yaml";
    let monitor = "deploy/kubernetes/monitored/service-monitor.yaml";
    let sources = "deploy/grafana/provisioning/datasources/datasources.yml";
    let planted = [
        (
            compose,
            "127.0.0.1:3100:3100",
            "3100:3100",
            "loki: a port is open",
        ),
        (
            compose,
            "grafana/tempo:3.0.3",
            "grafana/tempo:latest",
            "tempo: the image is not pinned",
        ),
        (
            compose,
            "mem_limit: 290m",
            "mem_limitation: 290m",
            "Additional properties",
        ),
        (compose, "cap_drop: [ALL]", "cap_drop: [CHOWN]", "loki: cap_drop"),
        (
            compose,
            "condition: service_healthy",
            "condition: service_started",
            "need not be healthy",
        ),
        (
            compose,
            "stop_grace_period: 40s",
            "stop_grace_period: 10s",
            "killed while it stops",
        ),
        (
            compose,
            "- /var/lib/docker/containers",
            "- /run/docker.sock:/x\n      - /var/lib/docker",
            "can command Docker",
        ),
        (
            deployment,
            "httpGet: { path: /live",
            "httpGets: { path: /live",
            "httpGets",
        ),
        (
            deployment,
            "runAsNonRoot: true",
            "runAsNonRoot: false",
            "may run as root",
        ),
        (
            deployment,
            "name: gatewayz-catalog",
            "name: gatewayz-catalogue",
            "gatewayz-catalogue is not made",
        ),
        (
            monitor,
            "interval: 15s",
            "interval: 15s\n      scrapeIntervals: 15s",
            ".spec.endpoints[0].scrapeIntervals is unknown",
        ),
        (
            "deploy/railway/railway.toml",
            "= 40",
            "= \"40\"",
            "killed while it stops",
        ),
        (
            "deploy/railway/loki/Dockerfile",
            ":3.7.6",
            ":3.6.0",
            "another than compose has",
        ),
        (sources, "uid: tempo", "uid: traces", "leads to none"),
        (sources, "$${__value.raw}", "${__value.raw}", "single dollars"),
        (
            "deploy/prometheus/prom.yml",
            "fastapi_backend\n",
            "backend\n",
            "the job is not fastapi_backend",
        ),
        (
            "deploy/tempo/tempo.yml",
            "usage_report:",
            "ingester: {}\nusage_report:",
            "Tempo 3 does not know",
        ),
    ];
    let checkout = tempfile::tempdir().unwrap();
    for part in CHECKED {
        copy(&repository().join(part), &checkout.path().join(part));
    }
    for (file, good, bad, _) in planted {
        let text = fs::read_to_string(checkout.path().join(file)).unwrap();
        assert!(text.contains(good), "{file} has no {good}");
        fs::write(checkout.path().join(file), text.replace(good, bad)).unwrap();
    }

    let output = checked(&python, checkout.path()).output().unwrap();

    assert!(!output.status.success());
    let told = text_of(&output);
    for (file, _, bad, message) in planted {
        let is_named = told.lines().any(|line| line.contains(message));
        assert!(is_named, "{bad} in {file}: {told}");
    }
}

#[test]
fn kubectl_builds_each_overlay_into_objects_that_a_cluster_takes() {
    let name = "kubectl_builds_each_overlay_into_objects_that_a_cluster_takes";
    let Some(kubectl) = tools::program("kubectl") else {
        return skip(name, "kubectl is not installed");
    };
    let python = match tools::python_with(&PACKAGES) {
        Ok(python) => python,
        Err(reason) => return skip(name, &reason),
    };

    let output = checked(&python, &repository()).arg(kubectl).output().unwrap();

    assert!(output.status.success(), "{}", text_of(&output));
}

#[test]
fn prometheus_takes_its_configuration_and_rules() {
    let name = "prometheus_takes_its_configuration_and_rules";
    let Some(promtool) = tools::program("promtool") else {
        return skip(name, "promtool is not installed");
    };

    let output = Command::new(promtool)
        .args(["check", "config", "deploy/prometheus/prom.yml"])
        .current_dir(repository())
        .output()
        .unwrap();

    assert!(output.status.success(), "{}", text_of(&output));
}

fn checked(python: &Path, checkout: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .arg(repository().join("deploy/tests/check.py"))
        .arg(checkout);
    command
}

fn text_of(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

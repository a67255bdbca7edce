//! docs/compose.yaml: the file is complete in itself, fits the Dockerfile, and its configuration passes `check`.

use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::{binary, run};

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a file of the repository")
}

fn compose() -> Yaml {
    YamlLoader::load_from_str(&file("docs/compose.yaml")).expect("YAML").remove(0)
}

fn words(yaml: &Yaml) -> Vec<&str> {
    yaml.as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect()
}

fn names(yaml: &Yaml) -> Vec<&str> {
    yaml.as_hash().into_iter().flat_map(|hash| hash.keys()).filter_map(Yaml::as_str).collect()
}

/// The number of seconds in `60s`.
fn seconds(yaml: &Yaml) -> u64 {
    yaml.as_str().and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse().ok()).expect("seconds")
}

#[test]
fn each_service_has_a_pinned_image_a_health_check_and_only_secrets_configs_and_services_that_exist() {
    let compose = compose();
    assert_eq!(names(&compose["services"]), ["postgres", "orderhook", "balancer"]);
    for name in names(&compose["services"]) {
        let service = &compose["services"][name];
        let (_, tag) = service["image"].as_str().and_then(|image| image.split_once(':')).expect("a tag");
        assert!(tag.starts_with(|c: char| c.is_ascii_digit()) && tag.contains('.'), "{name}: {tag}");
        assert_eq!(words(&service["healthcheck"]["test"])[0], "CMD", "{name}");
        for secret in words(&service["secrets"]) {
            assert!(names(&compose["secrets"]).contains(&secret), "{name}: {secret}");
        }
        for config in service["configs"].as_vec().into_iter().flatten() {
            let source = config["source"].as_str().expect("a source");
            assert!(compose["configs"][source]["content"].as_str().is_some(), "{name}: {source}");
        }
        for other in names(&service["depends_on"]) {
            assert!(names(&compose["services"]).contains(&other), "{name}: {other}");
            assert_eq!(service["depends_on"][other]["condition"].as_str(), Some("service_healthy"));
        }
    }
    for secret in names(&compose["secrets"]) {
        assert_eq!(compose["secrets"][secret]["file"].as_str(), Some(format!("./secrets/{secret}").as_str()));
    }
    // Compose would fill in what stands behind a dollar sign.
    for config in names(&compose["configs"]) {
        assert!(!compose["configs"][config]["content"].as_str().is_some_and(|text| text.contains('$')), "{config}");
    }
}

#[test]
fn the_replicas_fit_the_image_and_the_balancer_fits_the_replicas() {
    let (compose, dockerfile) = (compose(), file("Dockerfile"));
    let service = &compose["services"]["orderhook"];
    assert_eq!(service["image"].as_str(), Some(concat!("orderhook:", env!("CARGO_PKG_VERSION"))));
    let context = service["build"]["context"].as_str().expect("a context");
    assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(context).join("Dockerfile").exists());
    let target = service["configs"][0]["target"].as_str().expect("a target");
    assert!(dockerfile.contains(&format!("ORDERHOOK_CONFIG={target}")), "{target}");
    assert!(dockerfile.contains(&format!("VOLUME {}\n", words(&service["tmpfs"])[0])));
    // The image sets a file as its store, over the configuration.
    for variable in names(&service["environment"]) {
        assert!(dockerfile.contains(&format!("{variable}=")), "{variable}");
    }
    let url = service["environment"]["ORDERHOOK__STORE__URL"].as_str().expect("a URL");
    let database = &compose["services"]["postgres"]["environment"];
    let (user, name) = (database["POSTGRES_USER"].as_str(), database["POSTGRES_DB"].as_str());
    assert_eq!(url, format!("postgres://{}@postgres/{}", user.expect("a user"), name.expect("a database")));
    let test = words(&service["healthcheck"]["test"]);
    let command: Vec<_> = test[1..].iter().map(|word| format!("{word:?}")).collect();
    let command = command.join(", ");
    assert!(dockerfile.contains(&format!("CMD [{command}]")), "{command}");

    let balancer = compose["configs"]["haproxy"]["content"].as_str().expect("a configuration");
    let replicas = service["deploy"]["replicas"].as_i64().expect("a number");
    assert!(dockerfile.contains("EXPOSE 8080\n"));
    let templates = balancer.matches(&format!("server-template replica {replicas} orderhook:8080 check ")).count();
    assert_eq!(templates, 2);
    assert_eq!(balancer.matches("option httpchk GET /readyz").count(), templates);
    assert!(balancer.contains("bind :8080") && balancer.contains("timeout check 6s"));
    assert!(words(&compose["services"]["balancer"]["ports"])[0].ends_with(":8080"));
}

#[test]
fn the_configuration_passes_check_and_a_stop_has_the_time_that_it_takes() {
    let compose = compose();
    let service = &compose["services"]["orderhook"];
    let text = compose["configs"]["orderhook"]["content"].as_str().expect("a configuration");
    let home = tempfile::tempdir().expect("a directory");
    for secret in words(&service["secrets"]) {
        assert!(text.contains(&format!("/run/secrets/{secret}")), "{secret} is not used");
        std::fs::write(home.path().join(secret), format!("a-long-secret-of-{secret}\n")).expect("a file");
    }
    let path = home.path().join("orderhook.yaml");
    std::fs::write(&path, text.replace("/run/secrets", &home.path().display().to_string())).expect("a file");
    let mut command = binary();
    for variable in names(&service["environment"]) {
        command.env(variable, service["environment"][variable].as_str().expect("a text"));
    }
    let output = run(command.args(["check", "--config"]).arg(&path));
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("a-long-secret-of-"), "{told}");

    let parsed = YamlLoader::load_from_str(text).expect("YAML").remove(0);
    let defaults = YamlLoader::load_from_str(&file("config/default.yaml")).expect("YAML").remove(0);
    let drain = seconds(&parsed["server"]["drain_delay"]);
    assert!(seconds(&service["stop_grace_period"]) > drain + seconds(&defaults["server"]["shutdown_grace"]));
    // Twice the balancer's interval, and one check that takes as long as it may.
    assert!(drain >= 2 * 2 + 6);
    let balancer = compose["configs"]["haproxy"]["content"].as_str().expect("a configuration");
    let longest = seconds(&defaults["server"]["request_timeout"]);
    assert!(balancer.contains("timeout server 75s") && longest < 75, "{longest}");
}

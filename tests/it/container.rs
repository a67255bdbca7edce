//! The container: what the Dockerfile and the README say of it, as far as no engine is needed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::sync::Arc;

use serde_json::json;

use crate::harness::{Home, Process, binary, eventually, run, serve};

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a file of the repository")
}

/// The value behind a word that begins a line of the Dockerfile.
fn instruction<'a>(dockerfile: &'a str, word: &str) -> Vec<&'a str> {
    dockerfile.lines().filter_map(|line| line.trim().strip_prefix(word)).map(str::trim).collect()
}

/// The first block of that language in the README's section.
fn block(language: &str) -> String {
    let readme = file("README.md");
    let section =
        readme.split("## In a container").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let start = format!("```{language}\n");
    let block = section.split(&start).nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("no {language} in the section")).to_owned()
}

#[test]
fn the_image_runs_as_a_number_with_one_configuration_for_service_and_health_check() {
    let dockerfile = file("Dockerfile");
    let [user] = instruction(&dockerfile, "USER")[..] else { panic!("one user") };
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    assert!(dockerfile.contains("ORDERHOOK_CONFIG=/etc/orderhook/orderhook.yaml"));
    assert!(instruction(&dockerfile, "HEALTHCHECK")[0].ends_with(r#"CMD ["orderhook", "healthcheck"]"#));
    assert_eq!(instruction(&dockerfile, "CMD"), [r#"["serve"]"#]);
    let readme = file("README.md");
    assert!(readme.contains(&format!("user {}", user.split(':').next().expect("a user"))), "the README names {user}");
    let run = block("sh");
    for part in [
        "--read-only",
        "orderhook:/var/lib/orderhook",
        "orderhook.yaml:/etc/orderhook/orderhook.yaml:ro",
        "-e ORDER_TOKEN -e ERP_TOKEN",
    ] {
        assert!(run.contains(part), "{part}");
    }
    assert_eq!(instruction(&dockerfile, "VOLUME"), ["/var/lib/orderhook"]);
}

#[test]
fn the_base_images_are_pinned_and_the_labels_are_right() {
    let dockerfile = file("Dockerfile");
    for image in instruction(&dockerfile, "FROM") {
        let (_, tag) = image.split_whitespace().next().and_then(|image| image.split_once(':')).expect("a tag");
        let version = tag.split('-').next().expect("a version");
        assert!(version.matches('.').count() >= 1 && version.starts_with(|c: char| c.is_ascii_digit()), "{image}");
    }
    assert!(dockerfile.contains(&format!("ARG VERSION={}\n", env!("CARGO_PKG_VERSION"))), "the default of VERSION");
    for (label, value) in [
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("version", "${VERSION}"),
        ("revision", "${REVISION}"),
    ] {
        assert!(dockerfile.contains(&format!("org.opencontainers.image.{label}=\"{value}\"")), "the label {label}");
    }
}

#[test]
fn the_build_context_has_every_file_that_the_build_needs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignore = file(".dockerignore");
    let allowed: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignore.lines().any(|line| line == "*"), "an allow-list");
    let dockerfile = file("Dockerfile");
    let copies = instruction(&dockerfile, "COPY").into_iter().filter(|copy| !copy.starts_with("--from"));
    let sources: Vec<_> = copies
        .flat_map(|copy| copy.split_whitespace().rev().skip(1).collect::<Vec<_>>())
        .inspect(|path| assert!(root.join(path).exists(), "{path} does not exist"))
        .collect();
    for path in &sources {
        assert!(allowed.contains(path), "{path} is copied, but not in the build context");
    }
    // Cargo refuses a manifest if the file of a target is absent.
    let manifest = file("Cargo.toml");
    if manifest.contains("[[bench]]") {
        assert!(sources.contains(&"benches"), "the manifest lists benches");
    }
    for path in ["Cargo.toml", "Cargo.lock", ".cargo", "src", "config"] {
        assert!(sources.contains(&path), "{path} is not copied");
    }
}

#[tokio::test]
async fn the_readme_configuration_serves_and_the_health_check_finds_it_by_the_environment() {
    let home = Arc::new(Home::new());
    // The two secrets of the section, made as it says.
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("operator");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").expect("a secret");
    let yaml = block("yaml").replace("/run/secrets/operator", &secret.display().to_string());
    let tokens = |command: &mut std::process::Command| {
        command.env("ORDER_TOKEN", "order-token-0123456789").env("ERP_TOKEN", "erp-token");
    };
    let process = Process::start_with(&home, &yaml, tokens).await;
    let own = process.api.with_token("order-token-0123456789");
    own.post("/v1/orders", &json!({"id": "A-1"})).await.expect(201);
    process.api.get("/v1/orders").await.problem(401);
    process.api.with_token("0123456789abcdef0123456789abcdef").get("/v1/orders").await.expect(200);
    // Also a folder, as the section says.
    let address = process.api.address.to_string();
    let copy = folder.path().join("config");
    std::fs::create_dir(&copy).expect("a folder");
    std::fs::write(copy.join("orderhook.yaml"), &yaml).expect("a file");
    for config in [copy.join("orderhook.yaml"), copy] {
        let mut command = binary();
        tokens(&mut command);
        command.arg("healthcheck").env("ORDERHOOK_CONFIG", config).env("ORDERHOOK__SERVER__LISTEN", &address);
        let output = tokio::task::spawn_blocking(move || run(&mut command)).await.expect("an end");
        assert!(output.status.success(), "{output:?}");
    }
    process.stop().await;
}

#[tokio::test]
async fn a_volume_of_another_user_is_an_error_that_says_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can be somebody else.
    }
    let home = Home::new();
    std::fs::set_permissions(home.path(""), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = serve(&home, "");
    command.uid(65_534).gid(65_534);
    let output = tokio::task::spawn_blocking(move || run(&mut command)).await.expect("an end");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &*String::from_utf8_lossy(&output.stdout);
    for part in ["belongs to user 0", "orderhook runs as user 65534", "chown -R 65534:65534"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[tokio::test]
async fn paths_with_a_slash_at_their_end_take_orders_and_events() {
    let process = Process::start("").await;
    process.api.post("/v1/orders/", &json!({"id": "A-1"})).await.expect(201);
    process.api.post("/v1/events/", &json!({"type": "invoice.paid", "data": {}})).await.expect(202);
    assert_eq!(process.api.get("/v1/orders/").await.expect(200)["data"][0]["order_id"], "A-1");
    process.stop().await;
}

#[tokio::test]
async fn the_version_is_in_the_log_in_healthz_and_in_the_metrics() {
    let version = env!("CARGO_PKG_VERSION");
    let process = Process::start("").await;
    assert_eq!(process.api.get("/healthz").await.expect(200)["version"], version);
    let metrics = process.api.get("/metrics").await;
    assert!(metrics.text().contains(&format!("orderhook_build_info{{version=\"{version}\"}} 1")), "{metrics}");
    let line = eventually("the line of the start", || {
        let line = process.log.find("listening");
        async move { line }
    })
    .await;
    assert_eq!(crate::harness::field(&line, "version").and_then(serde_json::Value::as_str), Some(version));
    process.stop().await;
}

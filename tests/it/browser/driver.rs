//! Chromium, driven by WebDriver: Debian's `chromium` and `chromium-driver`, which `tests/run` installs.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Value, json};
use thirtyfour::error::WebDriverErrorInner;
use thirtyfour::prelude::{By, DesiredCapabilities, WebDriver, WebDriverResult};
use thirtyfour::session::http::{Body, HttpClient};
use thirtyfour::{ChromiumLikeCapabilities, WebElement};

use crate::client::Api;
use crate::harness::{Service, eventually};
use crate::receiver::DEADLINE;

/// One browser at a time: each takes a core.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What a visitor's browser is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) dark: bool,
    pub(super) scripts: bool,
}

impl Look {
    pub(super) const PLAIN: Self = Self { width: 1280, dark: false, scripts: true };
}

/// An open window on a service.
pub(super) struct Browser {
    driver: WebDriver,
    base: String,
}

/// The process of the driver. It ends its browser when the session ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens a browser on a service, lets `visit` use it, and closes it whatever happens.
pub(super) async fn browse<T, F: Future<Output = T>>(
    service: &Service,
    look: Look,
    visit: impl FnOnce(Browser) -> F,
) -> T {
    let _turn = TURN.lock().await;
    let mut process = Command::new("chromedriver");
    process.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = process.spawn().expect("chromedriver; tests/run installs chromium-driver");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let process = Process(child);
    let mut lines = lines.map(|line| line.expect("a line of chromedriver"));
    let port =
        lines.find_map(|line| line.split("successfully on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok());
    let port = port.expect("a port of chromedriver");
    // Its further lines are of no use, and must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));

    let mut options = DesiredCapabilities::chrome();
    for option in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"] {
        options.add_arg(option).expect("an option");
    }
    let client = Client(Api::new(([127, 0, 0, 1], port).into()));
    let driver =
        WebDriver::builder(format!("http://127.0.0.1:{port}"), options).client(client).await.expect("Chromium");
    let browser = Browser { driver: driver.clone(), base: format!("http://{}", service.api.address) };
    browser.look(look).await;
    let done = AssertUnwindSafe(visit(browser)).catch_unwind().await;
    driver.quit().await.expect("the end of Chromium");
    drop(process);
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The tests' own client of HTTP, as the driver's crate wants it.
struct Client(Api);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send(&self, request: http::Request<Body<'_>>) -> WebDriverResult<http::Response<Bytes>> {
        let body = match request.body() {
            Body::Empty => String::new(),
            Body::Json(json) => json.to_string(),
        };
        let target = request.uri().path();
        let headers = [("Content-Type", "application/json")];
        let answer = self.0.try_call(request.method().as_str(), target, &headers, body.as_bytes()).await;
        let failed = |error: String| WebDriverErrorInner::HttpError(error).into();
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let response = http::Response::builder().status(answer.status);
        response.body(Bytes::from(answer.body)).map_err(|error| failed(error.to_string()))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(Self(self.0.clone()))
    }
}

impl Browser {
    async fn command(&self, name: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(name, parameters).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Makes the window another one.
    pub(super) async fn look(&self, look: Look) {
        let Look { width, dark, scripts } = look;
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }}]);
        self.command("Emulation.setEmulatedMedia", json!({"features": scheme})).await;
        self.command("Emulation.setScriptExecutionDisabled", json!({"value": !scripts})).await;
    }

    pub(super) async fn open(&self, target: &str) {
        self.driver.goto(format!("{}{target}", self.base)).await.unwrap_or_else(|error| panic!("{target}: {error}"));
    }

    /// The path and query of the page that is open.
    pub(super) async fn target(&self) -> String {
        let url = self.driver.current_url().await.expect("a URL");
        url.as_str().strip_prefix(&self.base).unwrap_or_else(|| panic!("{url} is elsewhere")).to_owned()
    }

    /// Waits until that page is open.
    pub(super) async fn is_at(&self, target: &str) {
        eventually(target, || async { (self.target().await == target).then_some(()) }).await;
    }

    /// Waits until a CSS selector finds so many.
    pub(super) async fn shows(&self, selector: &str, count: usize) {
        let what = format!("{count} of {selector}");
        eventually(&what, || async { (self.count(selector).await == count).then_some(()) }).await;
    }

    /// The element that a CSS selector finds.
    pub(super) async fn find(&self, selector: &str) -> WebElement {
        let found = self.driver.find(By::Css(selector)).await;
        match found {
            Ok(found) => found,
            Err(error) => panic!("{selector} on {}: {error}\n{}", self.target().await, self.text().await),
        }
    }

    pub(super) async fn count(&self, selector: &str) -> usize {
        self.driver.find_all(By::Css(selector)).await.expect("a search").len()
    }

    pub(super) async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    pub(super) async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.expect("an empty field");
        field.send_keys(text).await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Presses keys, as on a keyboard: what has the focus gets them.
    pub(super) async fn press(&self, keys: impl Into<thirtyfour::TypingData>) {
        self.driver.active_element().await.expect("a focus").send_keys(keys).await.expect("keys");
    }

    /// What a person reads.
    pub(super) async fn text(&self) -> String {
        // Another page may come in between.
        eventually("a text", || async { self.driver.find(By::Tag("body")).await.ok()?.text().await.ok() }).await
    }

    /// Waits until a person reads this.
    pub(super) async fn reads(&self, text: &str) {
        let begun = std::time::Instant::now();
        loop {
            let page = self.text().await;
            if page.contains(text) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "no {text:?} on {}: {page}", self.target().await);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The value of an expression in the page.
    pub(super) async fn evaluate(&self, expression: &str) -> Value {
        let result = self.driver.execute(format!("return {};", expression.trim()), []).await;
        result.unwrap_or_else(|error| panic!("{expression}: {error}")).json().clone()
    }

    /// Gives every page a list `ran`, for scripts to leave a mark in, and dialogs that do.
    pub(super) async fn watch_for_scripts(&self) {
        let script = "window.ran = []; for (const name of ['alert', 'confirm', 'prompt']) window[name] = text => ran.push(text);";
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// Writes a picture of the whole page to `target/screenshots/`.
    pub(super) async fn screenshot(&self, name: &str) -> PathBuf {
        let metrics = self.command("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.command("Page.captureScreenshot", asked).await;
        let png = STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).expect("a file");
        path
    }
}

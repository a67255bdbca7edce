//! A PostgreSQL server of the tests' own: one for all tests of this process, which ends with it, each with a database of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where to find PostgreSQL's programs, if not where Debian has them or on the `PATH`.
const PROGRAMS: &str = "ORDERHOOK_POSTGRES_BIN";

/// Starts the server given as its arguments; stops the server that runs in its folder (`$1`) then, and removes the folder, when the
/// pipe on its standard input is closed: by whatever means the process at the other end has ended.
const WATCHDOG: &str = r#"folder=$1; shift
"$@" </dev/null &
cat >/dev/null
pid=$folder/data/postmaster.pid
server=$(head -n 1 "$pid") && kill -INT $server
while [ -e "$pid" ] && kill -0 $server; do sleep 0.02; done
rm -rf "$folder""#;

/// The server that all tests share; it forgets what a crash of the machine would.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(&["fsync=off", "full_page_writes=off"]))
}

/// A database without any tables, on the server that all tests share: a `postgres://` URL.
pub(crate) fn database() -> String {
    shared().database()
}

/// A running server.
pub(crate) struct Cluster {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    password: String,
    databases: AtomicU32,
    settings: Vec<String>,
    watchdog: Child,
}

impl Cluster {
    /// Makes and starts one, with settings such as `fsync=off`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let programs = Programs::find();
        let folder = tempfile::Builder::new().prefix("orderhook-postgres-").tempdir().expect("a folder");
        let password = format!("{:016x}", orderhook::system::seed());
        std::fs::write(folder.path().join("password"), &password).expect("a password");
        if let Some((user, group)) = programs.user {
            for path in [folder.path().to_owned(), folder.path().join("password")] {
                std::os::unix::fs::chown(path, Some(user), Some(group)).expect("the folder given to postgres");
            }
        }
        let data = folder.path().join("data");
        let mut initdb = programs.command("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--username=orderhook", "--auth=scram-sha-256"]);
        succeeds(initdb.arg("--pwfile").arg(folder.path().join("password")).arg("-D").arg(&data));
        // From here on the watchdog removes it.
        let folder = folder.keep();
        for _ in 0..5_u8 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
            let settings = all_settings(&folder, port, settings);
            let (mut watchdog, log) = programs.serve(&folder, &data, port, &settings);
            if has_started(&log) {
                return Self { programs, folder, port, password, databases: AtomicU32::new(0), settings, watchdog };
            }
            // Another process may have taken the port.
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(said.contains("in use"), "PostgreSQL does not start: {said}");
            watchdog.kill().and_then(|()| watchdog.wait()).expect("the watchdog is gone");
        }
        panic!("no free port for PostgreSQL");
    }

    /// A database of its own, without any tables: a `postgres://` URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        self.execute(&self.url("postgres"), &create);
        self.url(&name)
    }

    /// Stops the server as a crash would: nothing is written any more, and all connections end.
    pub(crate) fn crash(&self) {
        succeeds(self.control().args(["stop", "--mode=immediate"]));
    }

    /// Starts the server again after a crash, and waits until it takes connections.
    pub(crate) fn restart(&self) {
        let settings: Vec<_> = self.settings.iter().map(|setting| format!("-c {setting}")).collect();
        let mut start = self.control();
        start.arg("--log").arg(self.folder.join("log-again"));
        succeeds(start.args(["start", "--wait", "--options", &settings.join(" ")]));
    }

    fn control(&self) -> Command {
        let mut control = self.programs.command("pg_ctl");
        control.arg("--pgdata").arg(self.folder.join("data"));
        control
    }

    /// The URL of a database, for its superuser `orderhook`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://orderhook:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Executes SQL in the database of a URL; what it returned, one row a line.
    pub(crate) fn execute(&self, url: &str, sql: &str) -> String {
        let mut psql = self.programs.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        let output = succeeds(psql.args(["--dbname", url, "--command", sql]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        assert!(std::thread::panicking() || !self.folder.exists(), "the server's folder is still there");
    }
}

/// PostgreSQL's programs, and the user and group to run them as: its server refuses to run as root.
struct Programs {
    folder: PathBuf,
    user: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> Self {
        let named = std::env::var_os(PROGRAMS).map(PathBuf::from);
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut debian: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
        // The latest version first.
        debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let candidates = named.into_iter().chain(debian).chain(std::env::split_paths(&path));
        let folder = candidates.into_iter().find(|folder| folder.join("initdb").is_file());
        let folder = folder.unwrap_or_else(|| {
            panic!("PostgreSQL is not installed: install Debian's package postgresql, or set {PROGRAMS} to the folder of initdb")
        });
        let me = File::open("/proc/self").and_then(|own| own.metadata()).expect("/proc/self");
        let user = (std::os::unix::fs::MetadataExt::uid(&me) == 0).then(postgres);
        Self { folder, user }
    }

    fn command(&self, program: &str) -> Command {
        let path = self.folder.join(program);
        let mut command = Command::new(if path.is_file() { path } else { PathBuf::from(program) });
        self.hand_over(&mut command);
        command
    }

    /// Has a command run as the user for the server, and in a folder that this user can enter.
    fn hand_over(&self, command: &mut Command) {
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.current_dir("/");
    }

    /// Starts the server under its watchdog; says where it logs.
    fn serve(&self, folder: &Path, data: &Path, port: u16, settings: &[String]) -> (Child, PathBuf) {
        let log = folder.join(format!("log-{port}"));
        let mut watchdog = Command::new("sh");
        self.hand_over(&mut watchdog);
        watchdog.args(["-c", WATCHDOG, "sh"]).arg(folder).arg(self.folder.join("postgres")).arg("-D").arg(data);
        for setting in settings {
            watchdog.args(["-c", setting]);
        }
        let file = File::create(&log).expect("a log");
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file);
        // A signal from the terminal ends the tests, and they the server.
        (watchdog.process_group(0).spawn().expect("a shell"), log)
    }
}

/// The settings that every server has, and those of its own.
fn all_settings(folder: &Path, port: u16, own: &[&str]) -> Vec<String> {
    let socket = format!("unix_socket_directories={}", folder.display());
    let port = format!("port={port}");
    let all = ["listen_addresses=127.0.0.1", "max_connections=400", "shared_buffers=64MB", &port, &socket];
    all.iter().chain(own).map(ToString::to_string).collect()
}

/// The major version whose programs are in a folder of Debian's.
fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// The numbers of the user `postgres` and its group.
fn postgres() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line.expect("a user postgres: PostgreSQL refuses to run as root").split(':').skip(1);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).expect("a number in /etc/passwd");
    (number(), number())
}

/// Waits until the server says that it takes connections; whether it does.
fn has_started(log: &Path) -> bool {
    let begun = Instant::now();
    let mut said = String::new();
    let mut file = File::open(log).expect("the log");
    while begun.elapsed() < Duration::from_secs(60) {
        file.read_to_string(&mut said).expect("the log");
        if said.contains("ready to accept connections") {
            return true;
        }
        if said.contains("FATAL") {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("a program of PostgreSQL");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn every_database_is_a_fresh_one_on_one_server_and_the_server_ends() {
    let cluster = Cluster::start(&[]);
    let (one, other) = (cluster.database(), cluster.database());
    assert_ne!(one, other);
    cluster.execute(&one, "CREATE TABLE marks (id integer)");
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'marks'";
    assert_eq!(cluster.execute(&one, tables).trim(), "1");
    assert_eq!(cluster.execute(&other, tables).trim(), "0");
    let port = cluster.port;
    drop(cluster);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Tells the test below that it is the process to be killed.
const KILLED: &str = "ORDERHOOK_TEST_KILLED";

#[test]
fn a_killed_process_leaves_no_server() {
    if std::env::var_os(KILLED).is_some() {
        eprintln!("{}", database());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let test = "store_contract::cluster::a_killed_process_leaves_no_server";
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env(KILLED, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("another process of the tests");
    let said = BufReader::new(process.stderr.take().expect("what it says"));
    let url = said.lines().map_while(Result::ok).find(|line| line.starts_with("postgres://")).expect("a URL");
    let address = url.split(['@', '/']).nth(3).expect("an address").to_owned();
    TcpStream::connect(&address).expect("a server");
    process.kill().and_then(|()| process.wait()).expect("killed");
    let begun = Instant::now();
    while TcpStream::connect(&address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the server outlives its process");
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! `healthcheck`: asks `/readyz` of the service on this machine, with nothing but a socket.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use super::args::{ConfigArgs, load};
use super::output;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    let settings = match load(&args.config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let address = reachable(settings.server.listen);
    match ask(address) {
        Ok(status) if status.contains(" 200 ") => {
            output::line(&format!("ready at {address}"));
            ExitCode::SUCCESS
        }
        Ok(status) => {
            output::error(&format!("not ready at {address}: {status}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            output::error(&format!("no response from {address}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// An address that means any interface is asked at loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or("an empty response").to_owned() + " ")
}

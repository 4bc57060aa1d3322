//! Asks the running gateway on its admin listener, with the token of its own configuration.
//!
//! Used by the commands that concern a gateway at work. Speaks as much HTTP/1.1 as that takes: one request on each
//! connection, an answer with an end.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::config::{self, Config, Secret};

/// How long it may take to be let in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A thousand sessions with everything in them fit many times.
const LARGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// The way to the running gateway.
pub(super) struct Operator {
    address: SocketAddr,
    token: Option<Secret>,
}

/// What it said.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code, or 0 for what is no answer.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Operator {
    /// Where the gateway of this configuration listens for operators.
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        let config = load(file)?;
        let address = config.admin.address.context("admin.address is null: there is nobody to ask")?;
        Ok(Self { address: reachable(address), token: config.admin.token })
    }

    /// Asks and waits for so long.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>, patience: Duration) -> anyhow::Result<Answer> {
        let address = self.address;
        let answer = self.exchange(method, path, body, patience);
        // SECURITY: the path stays out of this: it may hold what was typed in the wrong place.
        let answer = answer.with_context(|| format!("no answer from {address}: is the gateway running?"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        Ok(Answer { status: status.unwrap_or_default(), body: body.to_owned() })
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>, patience: Duration) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {}\r\n", token.reveal()));
        }
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(LARGEST_ANSWER).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Answer {
    /// The body of a success; `None` for "there is no such session".
    pub fn found(&self) -> anyhow::Result<Option<Value>> {
        match self.status {
            200 => Ok(Some(serde_json::from_str(&self.body).context("the answer of the gateway is not JSON")?)),
            404 => Ok(None),
            401 => {
                bail!("the gateway refuses the token: is admin.token in this configuration that of the running one?")
            }
            status => bail!("the gateway answered {status} {}", self.message()),
        }
    }

    /// What the gateway says for people.
    fn message(&self) -> String {
        let body: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = body.as_ref().and_then(|body| body["message"].as_str());
        message.unwrap_or(&self.body).to_owned()
    }
}

/// The configuration, of which only what is wrong concerns whoever types a command.
pub(super) fn load(file: &Path) -> anyhow::Result<Config> {
    let loaded = config::load(file, &|name| std::env::var(name).ok());
    Ok(loaded.map_err(|problems| anyhow::anyhow!("{problems}"))?.config)
}

/// A gateway that listens on every address is asked on this machine's own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_on_this_machine() {
        for (configured, asked) in [
            ("0.0.0.0:9600", "127.0.0.1:9600"),
            ("[::]:9600", "[::1]:9600"),
            ("127.0.0.1:9600", "127.0.0.1:9600"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            assert_eq!(reachable(configured.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn an_answer_is_something_nothing_or_an_error_in_words() {
        let answer = |status, body: &str| Answer { status, body: body.into() }.found();
        assert_eq!(answer(200, "{\"deleted\":2}").unwrap().unwrap()["deleted"], 2);
        assert!(answer(404, "{}").unwrap().is_none());
        assert!(answer(401, "{}").unwrap_err().to_string().contains("admin.token"));
        let failed = answer(503, r#"{"error":"store_unavailable","message":"the store is away"}"#).unwrap_err();
        assert_eq!(failed.to_string(), "the gateway answered 503 the store is away");
        assert_eq!(answer(500, "oops").unwrap_err().to_string(), "the gateway answered 500 oops");
    }
}

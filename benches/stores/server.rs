//! The servers that are measured: started in a directory on a free port, ended by their process when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

/// The script of the tests, which knows as whom PostgreSQL may run.
const POSTGRES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/postgres");

/// Redis that acknowledges only what is on the disk.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    pub fn start(directory: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server cannot be started")?;
        Ok(Self { child, port })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// PostgreSQL as it comes: each commit waits for the disk.
pub struct Postgres {
    directory: PathBuf,
    port: u16,
}

impl Postgres {
    pub fn start(directory: &Path) -> anyhow::Result<Self> {
        // Made private by `tempfile`; the server may run as another user.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory, mode)?;
        let server = Self { directory: directory.join("server"), port: free_port()? };
        ensure!(server.control("start")?, "PostgreSQL does not start");
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("postgres://cloakroom@127.0.0.1:{}/postgres", self.port)
    }

    /// With its indexes.
    pub fn table_bytes(&self, table: &str) -> anyhow::Result<u64> {
        let query = format!("SELECT pg_total_relation_size('{table}')");
        let output = Command::new("psql").args(["-AtX", &self.url(), "-c", &query]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    }

    fn control(&self, command: &str) -> anyhow::Result<bool> {
        let status = Command::new(POSTGRES)
            .arg(&self.directory)
            .args([&self.port.to_string(), command])
            .env("POSTGRES_FSYNC", "on")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        Ok(status.context("tests/servers/postgres cannot be run")?.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !self.control("stop").unwrap_or(false) {
            eprintln!("PostgreSQL in {} may still run", self.directory.display());
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

//! The shipped program as an operator runs it: a child process, its files in a temporary directory, its log read.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloakroom");

/// What a command left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `cloakroom ARGUMENTS` in `dir` to its end, with `stdin` as its input.
pub fn run(dir: &Path, arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Ended {
    let mut child = command(dir, arguments, environment).stdin(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn command(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = command_of(PROGRAM, dir, environment);
    command.args(arguments);
    command
}

fn command_of(program: &str, dir: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_remove("CLOAKROOM_CONFIG").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `cloakroom run`, killed at the latest when the test ends.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Process {
    /// Writes `yaml` to `dir` and runs it; returns once every listener has been announced in the log, so it must
    /// be at `info` or below. `listeners` counts the operators' one.
    pub fn start(dir: &Path, yaml: &str, listeners: usize, environment: &[(&str, &str)]) -> Self {
        Self::start_within(&[], dir, yaml, listeners, environment)
    }

    /// The same by another program, `prefix`, which becomes it: `nsenter` for instance.
    pub fn start_within(
        prefix: &[&str],
        dir: &Path,
        yaml: &str,
        listeners: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let config = write(dir, "cloakroom.yaml", yaml);
        let program = prefix.first().copied().unwrap_or(PROGRAM);
        let mut gateway = command_of(program, dir, environment);
        gateway.args(prefix.iter().skip(1)).args((!prefix.is_empty()).then_some(PROGRAM));
        Self::announced(gateway.args(["run", "--config"]).arg(config), listeners)
    }

    fn announced(command: &mut Command, listeners: usize) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).split(b'\n').map_while(Result::ok);
            for line in lines {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut process = Self { child, lines, log: Vec::new(), addresses: Vec::new() };
        while process.addresses.len() < listeners {
            let line = process.next_line();
            if let Some(address) = listening(&line) {
                process.addresses.push(address);
            }
        }
        process
    }

    /// Where it listens, in the order of the configuration; the operators' address comes last.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Asks it to end as a service manager would; returns when it has.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "still running: {}", self.log.join("\n"));
            std::thread::park_timeout(Duration::from_millis(10));
        };
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log.push(line);
        }
        (status, self.log.join("\n"))
    }

    /// Sends it a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let signalled = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status().unwrap();
        assert!(signalled.success());
    }

    /// Reads its log on to the next line with these words.
    pub fn wait_for(&mut self, words: &str) -> String {
        loop {
            let line = self.next_line();
            if line.contains(words) {
                return line;
            }
        }
    }

    fn next_line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.log.push(line.clone());
                line
            }
            Err(error) => panic!("{error}; so far: {}", self.log.join("\n")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where a test called `terminate`.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Why it answered as it did.
            self.log.extend(self.lines.iter());
            eprintln!("{}", self.log.join("\n"));
        }
    }
}

/// The address in a line that announces a listener.
fn listening(line: &str) -> Option<SocketAddr> {
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    json["message"].as_str().filter(|message| message.starts_with("listening"))?;
    json["address"].as_str()?.parse().ok()
}

/// Writes a file and returns its path.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

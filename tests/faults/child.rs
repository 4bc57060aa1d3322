//! The process that dies, or whose disk fails: its roles, and how a test starts one and hears of it.
//!
//! It speaks in lines, each written at once, so that what was said before a kill is heard after it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use cloakroom::store::DiskStore;
use cloakroom::store::disk::Options;

/// Names the directory of the store, and says that this process is a child.
const DIRECTORY: &str = "CLOAKROOM_FAULTS_DIRECTORY";

/// Before what a child says; the test harness says things too.
const MARK: &str = "child: ";

/// A running child, killed with its owner.
pub struct Running {
    child: Child,
    orders: Option<ChildStdin>,
    said: Receiver<String>,
}

impl Running {
    /// Runs the ignored test of that name in a process of its own.
    pub fn start(role: &str, directory: &Path) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), role, directory)
    }

    /// The same, but the system answers some calls of it with an error: `calls:error=NAME:when=WHICH`, as `strace`
    /// counts them in each thread.
    pub fn start_with_fault(role: &str, directory: &Path, fault: &str) -> Self {
        let (calls, _) = fault.split_once(':').unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
        strace.arg(std::env::current_exe().unwrap());
        Self::run(strace, role, directory)
    }

    fn run(mut command: Command, role: &str, directory: &Path) -> Self {
        let mut child = command
            .args([role, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program and strace can be run");
        let (orders, lines) = (child.stdin.take(), child.stdout.take().unwrap());
        let (hears, said) = channel();
        // Always read, or the child would soon wait for a reader instead of working.
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                // A harness line may stand before the first of ours, without an end.
                if let Some((_, ours)) = line.split_once(MARK) {
                    let _ = hears.send(ours.to_owned());
                }
            }
        });
        Self { child, orders, said }
    }

    /// What it says next; `None` after its end.
    pub fn hear(&mut self) -> Option<String> {
        self.said.recv().ok()
    }

    /// Has it go on, and tells what it says then.
    pub fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        self.hear().expect("the child has ended")
    }

    /// No more orders: it ends as it should.
    pub fn end(mut self) {
        self.orders = None;
        assert!(self.child.wait().unwrap().success());
    }

    /// `kill -9`, and all that it had said.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.hear()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the child: the store of its directory. `None` when somebody ran all ignored tests, this one among them.
pub fn store() -> Option<DiskStore> {
    let directory = std::env::var_os(DIRECTORY)?;
    let options = Options { timeout: std::time::Duration::from_secs(30), ..Options::new(directory) };
    Some(DiskStore::open(&options).unwrap())
}

/// In the child: says a line.
pub fn say(line: &str) {
    // One write for one line: no kill falls into it.
    io::stdout().write_all(format!("{MARK}{line}\n").as_bytes()).unwrap();
}

/// In the child: waits for the next order.
pub fn order() -> String {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

//! A file system of 8 MiB that is really full: the gateway on it says so, keeps who is signed in, and recovers.
//!
//! It is mounted in a mount namespace of its own, which ends with the process that holds it, and that one ends with
//! this one, whatever happens. `nsenter` has the gateway run in it; the test reaches into it through `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::Process;
use crate::support::{App, Browser, Response, at_once};

/// After there is room again, without a restart.
const RECOVERS_WITHIN: Duration = Duration::from_secs(5);

/// At once, each with a browser of its own.
const PARALLEL: usize = 8;

/// Of one session, so that some hundreds fill what there is.
const DATA: usize = 6000;

/// A file system with its mount namespace.
struct SmallDisk {
    holder: Child,
    mount_point: PathBuf,
    /// How to run something in it.
    enter: Vec<String>,
}

impl SmallDisk {
    /// As root, or in a user namespace, as `unshare` says; `None` where neither is allowed.
    fn mount(directory: &Path) -> Option<Self> {
        let mount_point = directory.join("small");
        fs::create_dir(&mount_point).unwrap();
        [&["-m"][..], &["-m", "-r"]].into_iter().find_map(|flags| Self::mount_with(flags, &mount_point))
    }

    fn mount_with(flags: &[&str], mount_point: &Path) -> Option<Self> {
        let mut holder = Command::new("unshare")
            .args(flags)
            // Ends at the end of its input.
            .args(["sh", "-c", "mount -t tmpfs -o size=8m,mode=755 tmpfs \"$0\" && echo mounted && exec cat"])
            .arg(mount_point)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.trim() != "mounted" {
            holder.wait().unwrap();
            return None;
        }
        let mut enter = vec!["nsenter".to_owned(), format!("--target={}", holder.id()), "--mount".to_owned()];
        if flags.contains(&"-r") {
            enter.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        Some(Self { holder, mount_point: mount_point.to_owned(), enter })
    }

    /// A file in it, as seen from here.
    fn outside(&self, name: &str) -> PathBuf {
        let point = self.mount_point.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(point).join(name)
    }

    /// Takes so many bytes, or all there are.
    fn occupy(&self, name: &str, bytes: usize) {
        let mut file = fs::File::create(self.outside(name)).unwrap();
        let page = [0x55; 4096];
        let _full = (0..bytes / page.len()).try_for_each(|_| file.write_all(&page));
    }

    fn free(&self, name: &str) {
        fs::remove_file(self.outside(name)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The gateway on the small disk, and the app that signs people in.
struct Fixture {
    app: App,
    directory: tempfile::TempDir,
    disk: SmallDisk,
}

impl Fixture {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(directory.path())?;
        Some(Self { app: App::obeying(), directory, disk })
    }

    /// Nothing is kept near: each request with a cookie reads the file.
    fn start(&self) -> Process {
        let here = self.directory.path().display();
        let yaml = format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]\nadmin: {{ address: '127.0.0.1:0' }}\nworkers: 1\n\
             data_dir: '{here}/data'\nstore: {{ type: disk, path: '{here}/small/sessions', cache: null }}\n\
             session: {{ cookie: {{ secure: auto }} }}\nlog: {{ level: info, access: false }}\n\
             routes: [{{ access: public, session_headers: read_write, on_store_error: unavailable, \
             upstream: 'http://{}' }}]\n",
            self.app.address
        );
        let enter: Vec<&str> = self.disk.enter.iter().map(String::as_str).collect();
        Process::start_within(&enter, self.directory.path(), &yaml, 2, &[])
    }

    /// Who the gateway tells the app that the holder of this id is.
    fn user_of(&self, address: SocketAddr, id: &str) -> (u16, Option<String>) {
        let answer = Browser::holding(address, id).get("/");
        (answer.status, (answer.status == 200).then(|| self.app.last().all("remote-user").concat()))
    }

    fn are_signed_in(&self, address: SocketAddr, sessions: &[SignedIn]) {
        for SignedIn { user, id } in sessions {
            assert_eq!(self.user_of(address, id), (200, Some(user.clone())));
        }
    }

    /// Who is signed in stays so, nobody gets in, and who wants out is not told that it worked.
    fn is_full(&self, gateway: &Process, signed_in: &[SignedIn], leaving: &SignedIn) {
        let (address, admin) = (gateway.addresses()[0], gateway.addresses()[1]);
        let late = sign_in(address, "late");
        is_refused(&late.err().expect("the disk is full"));
        is_refused(&Browser::holding(address, &leaving.id).sign_out());
        self.are_signed_in(address, std::slice::from_ref(leaving));
        self.are_signed_in(address, signed_in);
        let metrics = Browser::at(admin).get("/metrics").text();
        assert!(metrics.lines().any(|line| errors_of("create", line) > 0), "{metrics}");
        assert_eq!(Browser::at(admin).get("/healthz").status, 200);
    }

    fn recovers(&self, address: SocketAddr) -> SignedIn {
        let freed = Instant::now();
        loop {
            match sign_in(address, "late") {
                Ok(session) => return session,
                Err(answer) => assert!(freed.elapsed() < RECOVERS_WITHIN, "{}", answer.text()),
            }
        }
    }
}

/// Whose sign-in was acknowledged.
struct SignedIn {
    user: String,
    id: String,
}

fn sign_in(address: SocketAddr, user: &str) -> Result<SignedIn, Response> {
    let mut browser = Browser::at(address);
    let data = format!("Session-Set: {{\"data\": \"{}\"}}", "x".repeat(DATA));
    let answer = browser.answered("/", &[&format!("Session-User: {user}"), &data]);
    let id = browser.session_id().filter(|_| answer.status == 200).ok_or(answer)?;
    Ok(SignedIn { user: user.to_owned(), id })
}

/// Refused as it must be: come again, and no cookie.
fn is_refused(answer: &Response) {
    assert_eq!((answer.status, answer.header("set-cookie")), (503, None), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
}

/// Signs people in until nobody gets in any more; those who did.
fn fill(address: SocketAddr) -> Vec<SignedIn> {
    let fill = |number| {
        let mut signed_in = Vec::new();
        for n in 0..2000 {
            match sign_in(address, &format!("user{number}-{n}")) {
                Ok(session) => signed_in.push(session),
                Err(answer) => {
                    is_refused(&answer);
                    return signed_in;
                }
            }
        }
        panic!("the disk has not become full");
    };
    at_once(PARALLEL, fill).into_iter().flatten().collect()
}

#[test]
#[ignore = "needs `unshare -m` or `unshare -mr` to mount a small file system: tests/run says when it is left out"]
fn on_a_disk_that_is_really_full_nobody_gets_in_nobody_gets_lost_and_it_passes() {
    let Some(fixture) = Fixture::new() else {
        eprintln!("left out: no file system can be mounted here, not even in a user namespace");
        return;
    };
    let disk = &fixture.disk;
    disk.occupy("others", 3 << 20);
    let gateway = fixture.start();
    let mut signed_in = fill(gateway.addresses()[0]);
    assert!(signed_in.len() > 50, "{}", signed_in.len());
    // To the last byte, for the log may just have been started over.
    disk.occupy("rest", 8 << 20);
    let leaving = signed_in.pop().unwrap();
    fixture.is_full(&gateway, &signed_in, &leaving);

    // Killed, not stopped, and started on the full disk: the same.
    drop(gateway);
    let gateway = fixture.start();
    fixture.is_full(&gateway, &signed_in, &leaving);

    disk.free("rest");
    disk.free("others");
    let late = fixture.recovers(gateway.addresses()[0]);
    let mut browser = Browser::holding(gateway.addresses()[0], &leaving.id);
    assert_eq!((browser.sign_out().status, browser.session_id()), (200, None));

    drop(gateway);
    let gateway = fixture.start();
    signed_in.push(late);
    fixture.are_signed_in(gateway.addresses()[0], &signed_in);
    assert_eq!(fixture.user_of(gateway.addresses()[0], &leaving.id), (200, Some(String::new())), "is back");
    println!("{} sessions on the disk that was full", signed_in.len());
}

/// How many errors a line of the metrics tells of this operation.
fn errors_of(operation: &str, line: &str) -> u64 {
    let counted = line.strip_prefix("cloakroom_store_errors_total");
    let counted = counted.filter(|rest| rest.contains(&format!("operation=\"{operation}\"")));
    counted.and_then(|rest| rest.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

//! The users file while the gateway runs: whoever is removed or disabled is out, whoever is added is in.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::process::write;
use crate::support::{App, Browser, PASSWORD, TestGateway, hash, user};

struct Fixture {
    app: App,
    gateway: TestGateway,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn with(users: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = write(dir.path(), "users.yaml", &list(users));
        let app = App::echoing();
        let gateway = TestGateway::with_config(&format!(
            "routes: [{{ upstream: 'http://{}' }}]\n\
             login: {{ form: {{ users_file: '{}' }}, regulation: {{ max_retries: 0 }} }}",
            app.address,
            file.display()
        ));
        Self { app, gateway, file, _dir: dir }
    }

    /// As a configuration tool does it: a new file under the old name.
    fn replace(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// Waits until the newcomer can sign in: the change has been taken over.
    fn wait_for(&self, newcomer: &str) {
        until(|| self.gateway.browser().sign_in(newcomer, PASSWORD).status == 303);
    }
}

fn list(users: &[String]) -> String {
    match users {
        [] => "[]\n".into(),
        _ => users.iter().map(|user| format!("- {user}\n")).collect(),
    }
}

/// Asks again and again; changes of files are noticed within about a second.
fn until(mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(15), "the change was not taken over");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// SM-10: in three browsers at once.
#[test]
fn removing_a_user_ends_all_their_sessions() {
    let fixture = Fixture::with(&[user("ann", "wiki"), user("bob", "wiki")]);
    let mut anns: Vec<Browser> = (0..3).map(|_| fixture.gateway.signed_in("ann")).collect();
    let mut bob = fixture.gateway.signed_in("bob");
    fixture.replace(&list(&[user("bob", "wiki")]));
    until(|| anns[0].fetch("/").status == 401);
    for ann in &mut anns {
        assert_eq!(ann.get("/").status, 302);
    }
    assert_eq!(bob.get("/").status, 200);
    assert_eq!(fixture.gateway.browser().sign_in("ann", PASSWORD).status, 401);
}

/// SM-10: the browser is told to forget the cookie, and no request in between reaches the app under the old name.
#[test]
fn disabling_a_user_ends_their_sessions_and_takes_the_cookie_away() {
    let fixture = Fixture::with(&[user("ann", "wiki"), user("bob", "wiki")]);
    let mut ann = fixture.gateway.signed_in("ann");
    fixture.replace(&list(&[user("ann", "wiki").replacen('{', "{ disabled: true,", 1), user("bob", "wiki")]));
    until(|| ann.fetch("/").status == 401);
    let seen = fixture.app.seen().len();
    assert_eq!(ann.get("/").status, 302);
    assert_eq!(fixture.app.seen().len(), seen);
    assert_eq!(fixture.gateway.browser().sign_in("ann", PASSWORD).status, 401);
}

/// SM-09: a session that ended with its account does not come back with it.
#[test]
fn a_user_who_is_added_again_signs_in_again() {
    let fixture = Fixture::with(&[user("ann", "wiki"), user("bob", "wiki")]);
    let mut ann = fixture.gateway.signed_in("ann");
    let jar = ann.jar.clone();
    fixture.replace(&list(&[user("bob", "wiki")]));
    until(|| ann.fetch("/").status == 401);
    fixture.replace(&list(&[user("ann", "wiki"), user("bob", "wiki"), user("eve", "wiki")]));
    fixture.wait_for("eve");
    ann.jar = jar;
    assert_eq!(ann.get("/").status, 302);
    assert_eq!(ann.sign_in("ann", PASSWORD).status, 303);
}

#[test]
fn a_user_who_is_added_can_sign_in_without_a_restart() {
    let fixture = Fixture::with(&[user("ann", "wiki")]);
    let mut ann = fixture.gateway.signed_in("ann");
    assert_eq!(fixture.gateway.browser().sign_in("eve", PASSWORD).status, 401);
    fs::write(&fixture.file, list(&[user("ann", "wiki"), user("eve", "staff")])).unwrap();
    fixture.wait_for("eve");
    assert_eq!(ann.get("/").status, 200);
}

#[test]
fn a_new_password_counts_for_the_next_sign_in() {
    let fixture = Fixture::with(&[user("ann", "wiki")]);
    let new = bcrypt::hash("another one", 4).unwrap();
    fixture.replace(&list(&[format!("{{ name: ann, password: '{new}' }}")]));
    until(|| fixture.gateway.browser().sign_in("ann", "another one").status == 303);
    assert_eq!(fixture.gateway.browser().sign_in("ann", PASSWORD).status, 401);
}

/// SM-21, F-15: a file that cannot be read signs nobody out, and nobody in.
#[test]
fn a_broken_file_changes_nothing_until_it_is_mended() {
    let fixture = Fixture::with(&[user("ann", "wiki")]);
    let mut ann = fixture.gateway.signed_in("ann");
    for broken in ["- name: [", "", "- name: eve\n", "- { nam: x }\n", "text"] {
        fixture.replace(broken);
    }
    fs::remove_file(&fixture.file).unwrap();
    assert_eq!(ann.get("/").status, 200);
    fixture.replace(&format!("{}- {{ name: eve, password: '{}' }}\n", list(&[user("ann", "wiki")]), hash()));
    fixture.wait_for("eve");
    assert_eq!(ann.get("/").status, 200);
}

#[test]
fn the_last_user_can_be_removed() {
    let fixture = Fixture::with(&[user("ann", "wiki")]);
    let mut ann = fixture.gateway.signed_in("ann");
    fixture.replace(&list(&[]));
    until(|| ann.fetch("/").status == 401);
}

/// SM-05: rights that were taken away must not live on in sessions (CVE-2021-41230 was that in a peer).
#[test]
fn a_user_with_other_groups_has_to_sign_in_again() {
    let fixture = Fixture::with(&[user("ann", "staff, wiki"), user("bob", "wiki")]);
    let (mut ann, mut bob) = (fixture.gateway.signed_in("ann"), fixture.gateway.signed_in("bob"));
    fixture.replace(&list(&[user("ann", "wiki"), user("bob", "wiki")]));
    until(|| ann.fetch("/").status == 401);
    assert_eq!(bob.get("/").status, 200);
    assert_eq!(ann.sign_in("ann", PASSWORD).status, 303);
    assert_eq!(ann.get("/").status, 200);
    assert_eq!(fixture.app.last().header("remote-groups"), Some("wiki"));
}

/// SM-11: whoever had the old password may have a session too.
#[test]
fn a_changed_password_ends_the_sessions_that_were_opened_with_the_old_one() {
    let fixture = Fixture::with(&[user("ann", "wiki"), user("bob", "wiki")]);
    let (mut ann, mut bob) = (fixture.gateway.signed_in("ann"), fixture.gateway.signed_in("bob"));
    let other = user("ann", "wiki").replace(&hash(), &bcrypt::hash("another one", 4).unwrap());
    fixture.replace(&list(&[other, user("bob", "wiki")]));
    until(|| ann.fetch("/").status == 401);
    assert_eq!(bob.get("/").status, 200);
    assert_eq!(ann.sign_in("ann", PASSWORD).status, 401);
    assert_eq!(ann.sign_in("ann", "another one").status, 303);
}

#[test]
fn a_new_display_name_ends_no_session() {
    let fixture = Fixture::with(&[user("ann", "wiki")]);
    let mut ann = fixture.gateway.signed_in("ann");
    let renamed = user("ann", "wiki").replace("ann Example", "Ann Other");
    fixture.replace(&list(&[renamed, user("carol", "wiki")]));
    fixture.wait_for("carol");
    assert_eq!(ann.get("/").status, 200);
}

//! The program as an operator runs it: commands, exit codes, and messages that name the place and the remedy.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::process::{Ended, Process, run, write};
use crate::support::{App, Browser, PASSWORD, hash, ok};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A configuration that works, with `rest` in place of what it says.
fn public(rest: &str) -> String {
    let mut text = rest.to_owned();
    for (key, value) in [
        ("listeners", "[{ address: '127.0.0.1:0' }]"),
        ("admin", "{ address: null }"),
        ("workers", "1"),
        ("routes", "[{ access: public, upstream: 'http://127.0.0.1:1' }]"),
    ] {
        if !rest.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            text.push_str(&format!("\n{key}: {value}"));
        }
    }
    text + "\n"
}

#[test]
fn validate_prints_every_problem_with_its_place_and_fails() {
    let dir = directory();
    let text = "listeners: [{ address: nonsense }]\nprefix: 5/\nsesion: {}\nlogin: { form: { users: [{ name: ann, password: x }] } }\n\
                routes:\n  - upstream: https://x\n  - { host: a b, access: everyone, upstream: http://y }\n";
    write(dir.path(), "my.yaml", text);
    let ended = run(dir.path(), &["validate", "--config", "my.yaml"], &[], "");
    assert_eq!(ended.code, Some(1));
    let places = [
        "my.yaml:1:24: listeners[0].address: ",
        "my.yaml:2:9: prefix: ",
        "my.yaml:3:1: sesion: unknown key; did you mean `session`?",
        "my.yaml:4:49: login.form.users[0].password: ",
        "my.yaml:6:15: routes[0].upstream.url: ",
        "my.yaml:7:13: routes[1].host: ",
        "my.yaml:7:26: routes[1].access: ",
    ];
    let lines: Vec<&str> = ended.stdout.lines().collect();
    for place in places {
        assert!(lines.iter().any(|line| line.starts_with(place)), "{place} is missing in {}", ended.stdout);
    }
    assert!(lines.last().unwrap().starts_with("my.yaml: 7 problems"), "{}", ended.stdout);
    let started = run(dir.path(), &["run", "--config", "my.yaml"], &[], "");
    assert_eq!(started.code, Some(1));
    assert!(places.iter().all(|place| started.stderr.contains(place)), "{}", started.stderr);
}

#[test]
fn validate_is_content_with_a_good_file_and_says_what_is_weak() {
    let dir = directory();
    write(dir.path(), "cloakroom.yaml", &public("session: { absolute_timeout: 31d }"));
    let ended = run(dir.path(), &["validate"], &[], "");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("cloakroom.yaml:1:30: session.absolute_timeout: warning: "), "{}", ended.stdout);
    assert!(!dir.path().join("cloakroom-data").exists(), "looking leaves nothing behind");
}

#[test]
fn the_file_is_the_argument_else_the_environment_else_cloakroom_yaml() {
    let dir = directory();
    write(dir.path(), "cloakroom.yaml", &public(""));
    write(dir.path(), "env.yaml", &public(""));
    write(dir.path(), "arg.yaml", &public(""));
    let environment = [("CLOAKROOM_CONFIG", "env.yaml")];
    for (arguments, environment, name) in [
        (&["validate", "--config", "arg.yaml"][..], &environment[..], "arg.yaml: OK"),
        (&["validate"], &environment, "env.yaml: OK"),
        (&["validate"], &[], "cloakroom.yaml: OK"),
    ] {
        let ended = run(dir.path(), arguments, environment, "");
        assert!(ended.code == Some(0) && ended.stdout.contains(name), "{ended:?}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    let dir = directory();
    for arguments in [&["frobnicate"][..], &[], &["run", "--confg", "x"], &["validate", "a", "b"]] {
        let ended = run(dir.path(), arguments, &[], "");
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("Usage:"), "{ended:?}");
    }
    for arguments in [["--version"], ["--help"]] {
        assert_eq!(run(dir.path(), &arguments, &[], "").code, Some(0));
    }
}

/// Starts the gateway with a configuration that cannot work; it must end by itself.
fn refused(dir: &Path, yaml: &str) -> Ended {
    write(dir, "cloakroom.yaml", yaml);
    let ended = run(dir, &["run"], &[], "");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

#[test]
fn a_missing_configuration_is_named() {
    let dir = directory();
    let ended = run(dir.path(), &["run", "--config", "nowhere.yaml"], &[], "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("nowhere.yaml:1:1: cannot be read: there is no such file"), "{}", ended.stderr);
}

#[test]
fn a_port_in_use_is_named_with_the_way_to_find_its_user() {
    let dir = directory();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let ended = refused(dir.path(), &public(&format!("listeners: [{{ address: '{address}' }}]")));
    let message = ended.stderr.lines().last().unwrap();
    assert!(message.starts_with(&format!("cloakroom: {address}: the port is in use")), "{message}");
    assert!(message.contains("ss -ltnp") && message.contains("listeners[].address"), "{message}");
}

#[test]
fn an_operators_port_in_use_is_named_as_such() {
    let dir = directory();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let ended = refused(dir.path(), &public(&format!("admin: {{ address: '{address}' }}")));
    let message = ended.stderr.lines().last().unwrap();
    assert!(message.contains(&format!("admin.address {address}")) && message.contains("null"), "{message}");
    assert_eq!(message.matches("os error").count(), 1, "{message}");
}

#[test]
fn an_address_of_another_machine_is_named() {
    let dir = directory();
    let ended = refused(dir.path(), &public("listeners: [{ address: '192.0.2.1:8080' }]"));
    assert!(ended.stderr.contains("192.0.2.1:8080: this machine has no such address"), "{}", ended.stderr);
}

#[test]
fn a_users_file_that_cannot_be_read_is_named() {
    let dir = directory();
    let yaml = public("login: { form: { users_file: people.yaml } }");
    let missing = refused(dir.path(), &yaml).stderr;
    assert!(missing.contains("people.yaml:1:1: cannot be read: there is no such file"), "{missing}");
    fs::create_dir(dir.path().join("people.yaml")).unwrap();
    let directory = refused(dir.path(), &yaml).stderr;
    assert!(directory.contains("people.yaml:1:1: cannot be read: it is a directory"), "{directory}");
    fs::remove_dir(dir.path().join("people.yaml")).unwrap();
    write(dir.path(), "people.yaml", "- name: ann\n  pasword: x\n");
    let broken = refused(dir.path(), &yaml).stderr;
    assert!(broken.contains("people.yaml:2:3: [0].pasword: unknown key; did you mean `password`?"), "{broken}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named_with_the_remedy() {
    let dir = directory();
    write(dir.path(), "file", "in the way");
    for place in ["/proc/nowhere", "file"] {
        let ended = refused(dir.path(), &public(&format!("data_dir: {place}")));
        let message = ended.stderr.lines().last().unwrap();
        assert!(message.starts_with(&format!("cloakroom: {place}/session.key: ")), "{message}");
        assert!(message.contains("make the directory writable, or set session.keys"), "{message}");
        assert_eq!(message.matches("os error").count(), 1, "{message}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let dir = directory();
    let yaml = public("listeners: [{ address: '127.0.0.1:0', tls: { certificate: tls.crt, key: tls.key } }]");
    assert!(refused(dir.path(), &yaml).stderr.contains("tls.crt"));
    write(dir.path(), "tls.crt", "not PEM");
    write(dir.path(), "tls.key", "not PEM");
    assert!(refused(dir.path(), &yaml).stderr.contains("tls.crt"));
}

#[test]
fn broken_templates_are_named_before_anybody_sees_them() {
    let dir = directory();
    fs::create_dir(dir.path().join("pages")).unwrap();
    write(&dir.path().join("pages"), "login.html", "a\n{{ usr }}");
    let ended = refused(dir.path(), &public("login: { templates_dir: pages }"));
    assert!(ended.stderr.contains("login.html:2: "), "{}", ended.stderr);
}

/// F-17.
#[test]
fn a_running_gateway_serves_answers_its_health_check_and_ends_with_0() {
    let app = App::answering(ok("served"));
    let dir = directory();
    let admin = free_port();
    let yaml =
        format!("admin: {{ address: '{admin}' }}\nroutes: [{{ access: public, upstream: 'http://{}' }}]", app.address);
    let process = Process::start(dir.path(), &public(&yaml), 2, &[]);
    assert_eq!(Browser::at(process.addresses()[0]).get("/").text(), "served");
    let healthy = run(dir.path(), &["healthcheck"], &[], "");
    assert_eq!((healthy.code, healthy.stdout.trim()), (Some(0), "200 {\"status\":\"ready\"}"));
    let (status, log) = process.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
    let unhealthy = run(dir.path(), &["healthcheck"], &[], "");
    assert_eq!(unhealthy.code, Some(1));
    assert!(unhealthy.stderr.contains("is the gateway running?"), "{unhealthy:?}");
}

/// The configuration has to name the operators' port before the gateway can be asked for it.
fn free_port() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_health_check_without_an_address_says_that_there_is_none() {
    let dir = directory();
    write(dir.path(), "cloakroom.yaml", &public(""));
    let ended = run(dir.path(), &["healthcheck"], &[], "");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("admin.address is null"), "{ended:?}");
}

#[test]
fn a_hash_from_the_command_line_opens_the_sign_in_form() {
    let dir = directory();
    let hashed = run(dir.path(), &["hash-password"], &[], "pässword with  spaces\n");
    assert_eq!(hashed.code, Some(0), "{hashed:?}");
    let hash = hashed.stdout.trim();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    write(dir.path(), "users.yaml", &format!("- name: ann\n  password: {hash}\n"));
    let app = App::echoing();
    let yaml = format!(
        "session: {{ cookie: {{ secure: auto }} }}\nlogin: {{ form: {{ users_file: users.yaml }} }}\nroutes: [{{ upstream: 'http://{}' }}]",
        app.address
    );
    let process = Process::start(dir.path(), &public(&yaml), 1, &[]);
    let mut browser = Browser::at(process.addresses()[0]);
    assert_eq!(browser.sign_in("ann", "pässword with  spaces").status, 303);
    assert_eq!(browser.get("/").status, 200);
}

#[test]
fn a_password_that_cannot_be_used_is_not_hashed() {
    let dir = directory();
    for (input, words) in [("\n".to_owned(), "empty"), (String::new(), "empty"), ("x".repeat(1025), "longer than 1024")]
    {
        let ended = run(dir.path(), &["hash-password"], &[], &input);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn the_schema_is_json_and_knows_every_section() {
    let dir = directory();
    let ended = run(dir.path(), &["schema"], &[], "");
    assert_eq!(ended.code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for section in ["listeners", "session", "store", "login", "routes", "limits", "admin", "log", "trusted_proxies"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

const SECRET: &str = "an-unmistakable-secret-of-enough-characters";

/// SM-19: the same values by the environment and by files; neither is ever printed.
#[test]
fn secrets_come_from_the_environment_or_from_files() {
    let dir = directory();
    let app = App::echoing();
    write(dir.path(), "keys", &format!("{SECRET}\n"));
    write(dir.path(), "ann", &format!("{}\n", hash()));
    let rest = format!("routes: [{{ upstream: 'http://{}' }}]", app.address);
    let cookie = "cookie: { secure: auto }";
    let by_file = format!(
        "session: {{ keys_file: keys, {cookie} }}\nlogin: {{ form: {{ users: [{{ name: ann, password_file: ann }}] }} }}\n{rest}"
    );
    let by_environment = format!(
        "session: {{ keys: [\"${{KEY}}\"], {cookie} }}\nlogin: {{ form: {{ users: [{{ name: ann, password: \"${{ANN}}\" }}] }} }}\n{rest}"
    );
    let hash = hash();
    let environment = [("KEY", SECRET), ("ANN", &*hash)];
    for (yaml, environment) in [(by_file, &[][..]), (by_environment, &environment)] {
        let process = Process::start(dir.path(), &public(&format!("log: {{ level: trace }}\n{yaml}")), 1, environment);
        let mut browser = Browser::at(process.addresses()[0]);
        assert_eq!(browser.sign_in("ann", PASSWORD).status, 303);
        assert!(!dir.path().join("cloakroom-data/session.key").exists(), "no key was generated");
        let (_, log) = process.terminate();
        assert!(!log.contains(SECRET) && !log.contains(&hash), "{log}");
    }
}

/// SM-19: a value that is refused is not shown, in no command.
#[test]
fn a_secret_that_is_wrong_is_not_repeated() {
    let dir = directory();
    write(dir.path(), "short", "hunter2-in-a-file\n");
    for secret in [
        "session: { keys: [hunter2] }",
        "session: { keys: [\"${KEY}\"] }",
        "session: { keys_file: short }",
        "session: { keys: { a: hunter2 } }",
        "session: { keys: hunter2 }",
        "login: { form: { users: [{ name: ann, password: hunter2 }] } }",
        "login: { form: { users: [{ name: ann, password: [hunter2] }] } }",
        "login: { form: { users: [{ name: ann, password_file: short }] } }",
        "routes: [{ access: public, upstream: 'http://ann:hunter2@wiki' }]",
    ] {
        write(dir.path(), "cloakroom.yaml", &public(secret));
        for command in ["validate", "run", "healthcheck"] {
            let ended = run(dir.path(), &[command], &[("KEY", "hunter2")], "");
            assert_eq!(ended.code, Some(1), "{secret}");
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!said.contains("hunter2"), "{command}: {said}");
        }
    }
}

#[test]
fn a_variable_that_is_not_set_is_a_problem_with_its_place() {
    let dir = directory();
    write(dir.path(), "cloakroom.yaml", &public("session: { keys: [\"${NO_SUCH_KEY}\"] }"));
    let ended = run(dir.path(), &["validate"], &[], "");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.starts_with("cloakroom.yaml:1:19: session.keys[0]: "), "{}", ended.stdout);
    assert!(ended.stdout.contains("NO_SUCH_KEY"), "{}", ended.stdout);
}

/// CF-02.
#[test]
fn the_generated_key_and_its_directory_are_for_the_owner_alone() {
    let dir = directory();
    let process = Process::start(dir.path(), &public("data_dir: state/keys"), 1, &[]);
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state/keys"), mode("state/keys/session.key")), (0o700, 0o600));
    let key = fs::read_to_string(dir.path().join("state/keys/session.key")).unwrap();
    let (_, log) = process.terminate();
    assert!(!log.contains(key.trim()), "{log}");
    let again = Process::start(dir.path(), &public("data_dir: state/keys"), 1, &[]);
    assert_eq!(fs::read_to_string(dir.path().join("state/keys/session.key")).unwrap(), key);
    assert_eq!(again.terminate().0.code(), Some(0));
}

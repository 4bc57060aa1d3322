//! The whole way from file to configuration, and the shipped files held against the schema.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::schema::{Access, Route, Upstream};
use super::*;

const REFERENCE: &str = include_str!("../../config/reference.yaml");

fn no_env(_: &str) -> Option<String> {
    None
}

#[test]
fn the_reference_shows_the_defaults_and_one_route() {
    let loaded = parse(REFERENCE, "reference.yaml", &no_env).unwrap_or_else(|problems| panic!("{problems}"));
    let upstream = Upstream { url: Some("http://127.0.0.1:8081".into()), ..Upstream::default() };
    let route = Route { access: Access::Public, upstream, ..Route::default() };
    assert_eq!(loaded.config, Config { routes: vec![route], ..Config::default() });
}

#[test]
fn every_key_of_the_schema_stands_in_the_reference_and_no_other() {
    let schema = schema_json();
    let mut expected = BTreeSet::new();
    schema_paths(&schema, &schema, "", &mut expected);
    // Where one mapping or a list of them may stand, the reference shows the list.
    let lists: BTreeSet<String> = expected.iter().filter(|path| path.contains("[].")).cloned().collect();
    let is_of_one =
        |path: &String| lists.iter().any(|list| list.len() == path.len() + 2 && without_one_list(list, path));
    expected.retain(|path| !is_of_one(path));
    let mut report = Report::new("reference.yaml");
    let tree = yaml::read(&uncomment(REFERENCE), &mut report).unwrap();
    assert_eq!(report.problems(), None);
    let mut found = BTreeSet::new();
    tree_paths(&tree, "", &mut found);
    let named_by_users = |path: &String| {
        let maps = ["set", "merge", "increment", "flash"].map(|map| format!("routes[].rules[].then.{map}."));
        let templates = ["routes[].identity.headers.", "routes[].sign_on.fields."];
        templates.iter().any(|map| path.starts_with(map)) || maps.iter().any(|map| path.starts_with(map))
    };
    found.retain(|path| !named_by_users(path));
    assert_eq!(found, expected);
}

/// Whether `list` is `path` but for one `[]`.
fn without_one_list(list: &str, path: &str) -> bool {
    list.match_indices("[]").any(|(at, _)| format!("{}{}", &list[..at], &list[at + 2..]) == path)
}

/// Takes the `#` from lines like `#key:`; one that repeats the key of the line above replaces it.
fn uncomment(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().skip_while(|line| line.starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        let (space, rest) = line.split_at(indent);
        let setting = rest.strip_prefix('#').filter(|rest| !rest.starts_with(' ') || rest.starts_with("  "));
        let Some(setting) = setting else {
            lines.push(line.to_owned());
            continue;
        };
        let line = format!("{space}{setting}");
        let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned());
        let live = lines.iter().rposition(|above| !above.trim_start().starts_with('#'));
        if let Some(live) = live.filter(|live| key(&lines[*live]).is_some() && key(&lines[*live]) == key(&line)) {
            lines[live].clear();
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn schema_paths(schema: &Value, root: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).unwrap();
        schema_paths(target, root, path, found);
    }
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        schema_paths(below, root, &path, found);
    }
    if schema["items"].is_object() {
        schema_paths(&schema["items"], root, &format!("{path}[]"), found);
    }
    for keyword in ["oneOf", "anyOf", "allOf"] {
        for below in schema[keyword].as_array().into_iter().flatten() {
            schema_paths(below, root, path, found);
        }
    }
}

fn tree_paths(node: &Node, path: &str, found: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter().for_each(|item| tree_paths(&item.node, &format!("{path}[]"), found)),
        Kind::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                tree_paths(&entry.node, &path, found);
                found.insert(path);
            }
        }
    }
}

#[test]
fn the_schema_has_a_title_and_durations_are_text() {
    let schema = schema_json();
    assert_eq!(schema["title"], "Cloakroom configuration");
    assert_eq!(schema["$defs"]["Duration"]["type"], "string");
}

#[test]
fn the_examples_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    for pem in ["tls.crt", "tls.key"] {
        fs::write(directory.path().join(pem), "").unwrap();
    }
    for example in fs::read_dir("config/examples").unwrap() {
        let example = example.unwrap();
        if example.file_type().unwrap().is_dir() {
            continue;
        }
        fs::copy(example.path(), directory.path().join(example.file_name())).unwrap();
    }
    for name in ["form-login.yaml", "two-hosts.yaml", "tls.yaml", "rules.yaml"] {
        let (report, valid) = validate_report(&directory.path().join(name));
        assert!(valid, "{report}");
    }
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("pages")).unwrap();
    for (name, text) in [("t.crt", ""), ("t.key", ""), ("users.yaml", "- { name: a, password: $2b$x }\n")] {
        fs::write(at(name), text).unwrap();
    }
    let text = "listeners: [{ tls: { certificate: t.crt, key: t.key } }]\nlogin: { form: { users_file: users.yaml }, templates_dir: pages }\nroutes: [{ upstream: http://a }]\n";
    fs::write(at("c.yaml"), text).unwrap();
    let config = load(&at("c.yaml"), &no_env).unwrap().config;
    let tls = config.listeners[0].tls.clone().unwrap();
    assert_eq!((tls.certificate, tls.key), (at("t.crt"), at("t.key")));
    assert_eq!(config.login.templates_dir, Some(at("pages")));
    assert_eq!(config.login.form.unwrap().users_file, Some(at("users.yaml")));
    assert_eq!(config.data_dir, Path::new("cloakroom-data"));
}

#[test]
fn variables_are_typed_after_they_are_filled_in_and_cannot_add_keys() {
    let env = |name: &str| match name {
        "HOST" => Some("wiki".to_owned()),
        "N" => Some("4".to_owned()),
        "EVIL" => Some("x\nadmin: { address: null }".to_owned()),
        "PASSWORD" => Some("$2b$12$123".to_owned()),
        "NAME" => Some("007".to_owned()),
        _ => None,
    };
    let text = "workers: ${N}\nlog: { access: '${OFF:-x}' }\nlogin:\n  title: ${EVIL}\n  form: { users: [{ name: '${NAME}', password: '${PASSWORD}' }] }\nroutes:\n  - upstream: http://${HOST}:${PORT:-80}\n    host: ${NONE:-}\n";
    let problems = parse(text, "c.yaml", &env).unwrap_err().to_string();
    assert_eq!(
        problems,
        "c.yaml:2:16: log.access: expected true or false, found the text \"x\"\nc.yaml:4:10: login.title: expected one line of text"
    );
    let text = text.replace("{ access: '${OFF:-x}' }", "\n  access: ${OFF:-false}").replace("${EVIL}", "${N}");
    let config = parse(&text, "c.yaml", &env).unwrap().config;
    assert_eq!((config.workers, config.log.access), (schema::Workers::Count(4), false));
    assert_eq!(config.routes[0].upstream.url.as_deref(), Some("http://wiki:80"));
    assert_eq!(config.login.form.unwrap().users[0].name, "007");
}

#[test]
fn an_unset_variable_is_named_at_its_key() {
    let problems = parse("routes:\n  - upstream: { url: \"${APP}\" }\n", "c.yaml", &no_env).unwrap_err().to_string();
    assert!(problems.contains("c.yaml:2:22: routes[0].upstream.url: the environment variable APP is not set; set it"));
    assert_eq!(problems.lines().count(), 2, "{problems}");
}

#[test]
fn a_variable_without_quotes_in_braces_gets_a_hint() {
    let problems = parse("admin: { address: ${ADDRESS} }\n", "c.yaml", &no_env).unwrap_err().to_string();
    assert!(problems.ends_with("inside `{ }` and `[ ]`, put `${NAME}` in quotes"), "{problems}");
}

#[test]
fn later_stages_report_at_the_place_of_a_key() {
    let text = "listeners:\n  - address: 0.0.0.0:80\nroutes: [{ access: public, upstream: http://a }]\n";
    let places = parse(text, "c.yaml", &no_env).unwrap().places;
    assert_eq!(
        places.problem("listeners[0].address", "the address is in use").to_string(),
        "c.yaml:2:14: listeners[0].address: the address is in use"
    );
    let absent = places.problem("listeners[0].tls.key", "does not fit").to_string();
    assert_eq!(absent, "c.yaml:2:5: listeners[0].tls.key: does not fit");
}

#[test]
fn no_secret_stays_in_what_is_kept_for_later_messages() {
    let key = "hunter2-".repeat(8);
    let text = format!("session: {{ keys: [{key}] }}\nroutes: [{{ access: public, upstream: http://a }}]\n");
    let loaded = parse(&text, "c.yaml", &no_env).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn the_report_ends_with_a_summary() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    let name = file.display();
    fs::write(&file, "session: { cookie: { secure: false } }\nroutes: [{ access: public, upstream: http://a }]\n")
        .unwrap();
    let (report, valid) = validate_report(&file);
    assert!(valid && report.ends_with(&format!("{name}: OK, 1 warning")), "{report}");
    assert!(report.starts_with(&format!("{name}:1:30: session.cookie.secure: warning: the cookie")), "{report}");
    fs::write(&file, "prefix: /\nrotues: []\n").unwrap();
    let (report, valid) = validate_report(&file);
    assert!(!valid && report.ends_with(&format!("{name}: 2 problems, 1 warning")), "{report}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    let message = || load(&file, &no_env).unwrap_err().to_string();
    assert_eq!(message(), format!("{}:1:1: cannot be read: there is no such file", file.display()));
    fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let begun = crate::config::tests::cpu_time();
    assert_eq!(message(), format!("{}:1:1: is larger than 1048576 bytes", file.display()));
    assert!(crate::config::tests::cpu_time() - begun < Duration::from_secs(1));
}

#[test]
fn a_megabyte_of_routes_is_checked_within_a_second() {
    let text: String = std::iter::once("routes:\n".to_owned())
        .chain((0..9_000).map(|i| {
            format!("- {{ host: h{i}, access: public, upstream: {{ url: 'http://a', hots: 1 }}, path: x }}\n")
        }))
        .collect();
    let begun = crate::config::tests::cpu_time();
    assert!(parse(&text, "c.yaml", &no_env).is_err());
    assert!(
        crate::config::tests::cpu_time() - begun < Duration::from_secs(1),
        "took {:?}",
        crate::config::tests::cpu_time() - begun
    );
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "((session|routes|login|form|users|keys|upstream|listeners|host|path|secure)[:,] ?|[\\[\\]{}]|\n *(- )?|[a-z0-9$./~'&*-]{1,3}){0,40}") {
        let _ = parse(&text, "c.yaml", &no_env);
    }
}

/// What this thread has spent on a processor: unlike the wall clock, it does not run while others do.
pub(super) fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

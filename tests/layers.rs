//! Imports go down only: the layers of `src/lib.rs`, checked from the `use crate::` lines and `crate::` paths.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up; modules of one layer may not import each other unless listed in [`WITHIN`].
const LAYERS: [&[&str]; 11] = [
    &["clock", "timers", "http", "html", "config"],
    &["identity", "jar", "store"],
    &["session", "telemetry"],
    &["pages", "places", "routing", "policy"],
    &["auth", "observe", "proxy", "vault"],
    &["sign_on", "storage"],
    &["gateway", "reject"],
    &["pipeline"],
    &["server"],
    &["reload"],
    &["admin", "app", "cli", "demo", "survey"],
];

/// Imports within one layer that are meant, and why.
const WITHIN: [(&str, &str, &str); 9] = [
    ("config", "clock", "a rule may name a moment"),
    ("identity", "store", "a template may name the session by its handle"),
    ("http", "timers", "a request body is paced by a coarse deadline"),
    ("app", "admin", "the process starts the operators' listener"),
    ("cli", "admin", "the command line asks the operators' listener"),
    ("cli", "app", "the command line starts the process"),
    ("cli", "demo", "the command line starts the demo"),
    ("cli", "survey", "the command line starts the pass-through"),
    ("demo", "app", "the demo starts the process"),
];

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for file in rust_files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let Some(own) = module_of(&file) else { continue };
        let text = fs::read_to_string(&file).unwrap();
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for imported in imports(production) {
            if imported != own && !may_import(&own, &imported) {
                wrong.push(format!("{}: `{own}` imports `{imported}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let lib = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    for module in lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(layer(module).is_some(), "`{module}` stands in no layer");
    }
}

#[test]
fn nobody_but_the_session_manager_calls_a_store() {
    for file in rust_files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let Some(own) = module_of(&file) else { continue };
        // `cli` moves sealed entries from one store to another.
        if ["store", "session", "storage", "cli"].contains(&own.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("dyn Store") && !text.contains("store::Store"), "{}", file.display());
    }
}

fn may_import(own: &str, imported: &str) -> bool {
    let (Some(from), Some(to)) = (layer(own), layer(imported)) else { return true };
    from > to || WITHIN.iter().any(|(a, b, _)| *a == own && *b == imported)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// `src/proxy/pool.rs` → `proxy`; `main.rs` and `lib.rs` belong to no layer; test files import what they like.
fn module_of(file: &Path) -> Option<String> {
    let below = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let is_test = below
        .iter()
        .any(|part| part == "tests" || part == "tests.rs" || part == "scripted.rs" || part == "conformance.rs");
    let first = below.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
    (!is_test && !["main", "lib"].contains(&first.as_str())).then_some(first)
}

fn imports(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in code {
        for after in line.split("crate::").skip(1) {
            if let Some(group) = after.strip_prefix('{') {
                found.extend(group.split([',', '}']).map(|item| name(item.trim())));
            } else {
                found.push(name(after));
            }
        }
    }
    found.retain(|module| !module.is_empty());
    found
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

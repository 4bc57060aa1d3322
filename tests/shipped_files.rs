//! The configurations under `config/` are valid as they are shipped, but for the files that only a deployer has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::{run, write};

#[test]
fn every_shipped_configuration_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config")), dir.path());
    let files = yaml_files(dir.path());
    let mut checked = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(dir.path()).unwrap().display().to_string();
        if name.ends_with("docker-compose.yaml") {
            continue;
        }
        match is_users_file(&text) {
            true => drop(cloakroom::config::users::load_users(&file).unwrap_or_else(|problems| panic!("{problems}"))),
            // Read with the configuration that names it.
            false if name.ends_with("accounts.yaml") => {}
            false => validate(&file),
        }
        checked.push(name);
    }
    for expected in [
        "reference.yaml",
        "examples/tls.yaml",
        "examples/users.yaml",
        "examples/dokuwiki.yaml",
        "examples/django-admin.yaml",
        "examples/jupyter.yaml",
        "examples/node-red.yaml",
        "examples/dokuwiki-sign-on.yaml",
        "examples/django-admin-sign-on.yaml",
        "examples/accounts.yaml",
        "compose/cloakroom.yaml",
        "compose/redis/cloakroom.yaml",
    ] {
        assert!(checked.iter().any(|name| name == expected), "{expected} is not among {checked:?}");
    }
}

/// README and what it leads to.
fn pages() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.chain([root.join("README.md")])
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.starts_with("https://")) {
            let target = page.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
}

/// Those of other programs, and of users, have no key that a configuration begins with.
#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    fs::copy(format!("{config}/examples/users.yaml"), dir.path().join("users.yaml")).unwrap();
    let pages: String = pages().map(|page| fs::read_to_string(page).unwrap() + "\n").collect();
    let blocks = pages.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut checked = 0;
    for block in blocks {
        let has = |key: &str| block.lines().any(|line| line.starts_with(key));
        let text = match (has("routes:"), has("store:"), block.starts_with("    ")) {
            (true, ..) => block.to_owned(),
            (_, true, _) => format!("{block}routes: [{{ access: public, upstream: http://a }}]\n"),
            // Of a route.
            (_, _, true) => format!("routes:\n  - access: public\n    upstream: http://a\n{block}"),
            _ => continue,
        };
        let login = if has("login:") { "" } else { "login: { form: { users_file: users.yaml } }\n" };
        validate(&write(dir.path(), "documented.yaml", &format!("{login}{text}")));
        checked += 1;
    }
    assert!(checked >= 6, "{checked}");
}

fn validate(file: &Path) {
    let directory = file.parent().unwrap();
    let text = fs::read_to_string(file).unwrap();
    // Docker's secrets, which stand where the container has them.
    let secrets = [
        ("session-keys", "0123456789abcdef0123456789abcdef\n"),
        ("redis-url", "redis://:secret@redis"),
        ("printer", "a password\n"),
        ("postgres-url", "postgres://cloakroom:secret@postgres/cloakroom"),
    ];
    for (name, content) in secrets {
        write(directory, name, content);
    }
    if !directory.join("users.yaml").exists() {
        // Mounted beside the configuration from the directory above.
        let _ = fs::copy(directory.join("../users.yaml"), directory.join("users.yaml"));
    }
    write(directory, file.file_name().unwrap().to_str().unwrap(), &text.replace("/run/secrets/", ""));
    if !directory.join("tls.key").exists() {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        write(directory, "tls.crt", &pair.cert.pem());
        write(directory, "tls.key", &pair.signing_key.serialize_pem());
    }
    let ended = run(directory, &["validate", "--config", file.to_str().unwrap()], &[], "");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

fn is_users_file(text: &str) -> bool {
    text.lines().find(|line| !line.is_empty() && !line.starts_with('#')).is_some_and(|line| line.starts_with("- "))
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

fn yaml_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files
}

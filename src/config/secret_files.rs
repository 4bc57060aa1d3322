//! `x_file`, the twin of every secret key `x`: reads the files and fills the values in.
//!
//! Runs before `check`, so that everything after it sees values only. The paths stay in place, for
//! whoever watches the files.

use std::path::{Path, PathBuf};

use super::accounts::load_accounts;
use super::check::Checks;
use super::files::{self, MAX_SECRET_BYTES};
use super::schema::{Admin, Config, Credentials, KeptCredentials, Store, User};
use super::secret::Secret;

/// Fills `session.keys`, `admin.token`, the store's addresses, the users' `password` and the credentials of apps from
/// their files.
pub(super) fn resolve(config: &mut Config, base: &Path, checks: &mut Checks<'_>) {
    resolve_keys(config, base, checks);
    let Store { url, url_file, listen_url, listen_url_file, .. } = &mut config.store;
    resolve_one("store.url", url, url_file, base, checks);
    resolve_one("store.listen_url", listen_url, listen_url_file, base, checks);
    let Admin { token, token_file, .. } = &mut config.admin;
    resolve_one("admin.token", token, token_file, base, checks);
    if let Some(form) = &mut config.login.form {
        resolve_passwords(&mut form.users, "login.form.users", base, checks);
    }
    for (index, route) in config.routes.iter_mut().enumerate() {
        if let Some(Credentials::Kept(kept)) = route.sign_on.as_mut().map(|sign_on| &mut sign_on.credentials) {
            resolve_credentials(kept, &format!("routes[{index}].sign_on.credentials"), base, checks);
        }
    }
}

fn resolve_credentials(kept: &mut KeptCredentials, key: &str, base: &Path, checks: &mut Checks<'_>) {
    resolve_one(&format!("{key}.password"), &mut kept.password, &mut kept.password_file, base, checks);
    let Some(file) = &mut kept.file else { return };
    files::anchor(file, base);
    match load_accounts(file) {
        Ok(accounts) => {
            warn_if_world_readable(&format!("{key}.file"), file, checks);
            kept.accounts = accounts;
        }
        Err(problems) => checks.append(problems),
    }
}

fn resolve_keys(config: &mut Config, base: &Path, checks: &mut Checks<'_>) {
    let session = &mut config.session;
    let Some(path) = &mut session.keys_file else { return };
    files::anchor(path, base);
    if !session.keys.is_empty() {
        checks.problem("session.keys_file", "give either `keys` or `keys_file`, not both");
        return;
    }
    let Some(text) = read("session.keys_file", path, checks) else { return };
    let lines = text.reveal().lines().map(str::trim_end).filter(|line| !line.is_empty());
    session.keys = lines.map(|line| Secret::from(line.to_owned())).collect();
    if session.keys.is_empty() {
        checks.problem("session.keys_file", format!("{} holds no key; write one per line", path.display()));
    }
}

/// Fills the secret at `key` from the file that its twin names.
fn resolve_one(
    key: &str,
    secret: &mut Option<Secret>,
    file: &mut Option<PathBuf>,
    base: &Path,
    checks: &mut Checks<'_>,
) {
    let Some(file) = file else { return };
    let twin = format!("{key}_file");
    files::anchor(file, base);
    if secret.is_some() {
        let name = key.rsplit('.').next().unwrap_or(key);
        checks.problem(&twin, format!("give either `{name}` or `{name}_file`, not both"));
    } else {
        *secret = read(&twin, file, checks);
    }
}

/// Fills the passwords of a list of users that stands at `path`.
pub(super) fn resolve_passwords(users: &mut [User], path: &str, base: &Path, checks: &mut Checks<'_>) {
    for (position, user) in users.iter_mut().enumerate() {
        let Some(file) = &mut user.password_file else { continue };
        let key = format!("{path}[{position}].password_file");
        files::anchor(file, base);
        if user.password.is_some() {
            checks.problem(&key, "give either `password` or `password_file`, not both");
        } else {
            user.password = read(&key, file, checks);
        }
    }
}

/// The contents without one line break at the end.
fn read(key: &str, path: &Path, checks: &mut Checks<'_>) -> Option<Secret> {
    match files::read_text(path, MAX_SECRET_BYTES) {
        Ok(text) => {
            warn_if_world_readable(key, path, checks);
            let trimmed = text.strip_suffix('\n').unwrap_or(&text);
            Some(Secret::from(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned()))
        }
        Err(failure) => {
            checks.problem(key, format!("{} {failure}", path.display()));
            None
        }
    }
}

/// A secret that every user of the machine can read is worth a word.
pub(super) fn warn_if_world_readable(key: &str, path: &Path, checks: &mut Checks<'_>) {
    if files::is_world_readable(path) {
        checks.warning(key, format!("{} can be read by every user of this machine; chmod 640 it", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::config::{load, parse};

    const ROUTE: &str = "routes: [{ access: public, upstream: http://a }]\n";

    #[test]
    fn secrets_come_from_files_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.yaml");
        let key = "k".repeat(32);
        fs::write(directory.path().join("keys"), format!("{key}\n\nsecond-{key}\n")).unwrap();
        fs::write(directory.path().join("alice"), "$argon2id$v=19$x\n").unwrap();
        let text =
            "session: { keys_file: keys }\nlogin: { form: { users: [{ name: alice, password_file: alice }] } }\n";
        fs::write(&file, format!("{text}{ROUTE}")).unwrap();
        let config = load(&file, &|_| None).unwrap().config;
        let keys: Vec<_> = config.session.keys.iter().map(|key| key.reveal().to_owned()).collect();
        assert_eq!(keys, [key.clone(), format!("second-{key}")]);
        let user = &config.login.form.unwrap().users[0];
        assert_eq!(user.password.as_ref().unwrap().reveal(), "$argon2id$v=19$x");
    }

    #[test]
    fn an_unreadable_secret_file_is_named_at_its_key() {
        let text = format!("session:\n  keys_file: /nowhere/keys\n{ROUTE}");
        let problems = parse(&text, "c.yaml", &|_| None).unwrap_err().to_string();
        assert_eq!(problems, "c.yaml:2:14: session.keys_file: /nowhere/keys cannot be read: there is no such file");
    }

    #[test]
    fn a_value_and_its_file_exclude_each_other() {
        let key = "k".repeat(32);
        let text = format!("session: {{ keys: [{key}], keys_file: /dev/null }}\n{ROUTE}");
        let problems = parse(&text, "c.yaml", &|_| None).unwrap_err().to_string();
        assert!(problems.ends_with("session.keys_file: give either `keys` or `keys_file`, not both"), "{problems}");
    }
}

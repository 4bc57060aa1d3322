//! The users file: a YAML list of [`User`]s, read and checked like the configuration itself.
//!
//! Called when the configuration is loaded and by the sign-in form when the file changes. Variables
//! are not replaced here: the file is made of password hashes, which are full of `$`.

use std::path::Path;

use super::check::{self, Checks};
use super::files::{self, MAX_CONFIG_BYTES};
use super::problem::{Mark, Problem, Problems, Report};
use super::schema::User;
use super::tree::Kind;
use super::{recover, secret_files, yaml};

/// Reads the users in `text`; a `password_file` is relative to the directory of `file_name`.
///
/// # Errors
/// Every problem in the file.
pub fn parse_users(text: &str, file_name: &str) -> Result<Vec<User>, Problems> {
    let mut report = Report::new(file_name);
    let users = read(text, &mut report);
    report.problems().map_or(Ok(users), Err)
}

/// Reads a users file of at most 1 MiB.
///
/// # Errors
/// Every problem in the file, or that it cannot be read.
pub fn load_users(path: &Path) -> Result<Vec<User>, Problems> {
    let name = path.display().to_string();
    match files::read_text(path, MAX_CONFIG_BYTES) {
        Ok(text) => parse_users(&text, &name),
        Err(failure) => {
            let problem = Problem::new(&name, failure.mark(), "", failure.to_string());
            Err(Problems { list: vec![problem], more: 0 })
        }
    }
}

fn read(text: &str, report: &mut Report) -> Vec<User> {
    let Some(mut tree) = yaml::read(text, report) else { return Vec::new() };
    let Some(mut users) = recover::read::<Vec<User>>(&mut tree, report) else { return Vec::new() };
    let base = report.file().to_owned();
    let mut warnings = Vec::new();
    let mut checks = Checks::new(&tree, report, &mut warnings);
    // `[]` is meant: the last user was removed. A file without any list was more likely lost.
    if users.is_empty() && !matches!(tree.kind, Kind::List(_)) {
        checks.problem_at(Mark::START, "", "holds no users; expected a list of `- name: …`, or `[]`");
    }
    secret_files::resolve_passwords(&mut users, "", files::base_of(Path::new(&base)), &mut checks);
    check::users(&users, "", &mut checks);
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";

    #[test]
    fn users_are_read_with_all_their_fields() {
        let text = format!(
            "- name: alice\n  password: {HASH}\n  display_name: Alice A.\n  email: a@example.com\n  groups: [staff]\n- name: bob\n  password: $2b$12$abc\n  disabled: true\n"
        );
        let users = parse_users(&text, "users.yaml").unwrap();
        assert_eq!((users.len(), users[0].groups[0].as_str(), users[1].disabled), (2, "staff", true));
        assert_eq!(users[0].password.as_ref().unwrap().reveal(), HASH);
    }

    #[test]
    fn every_problem_of_a_users_file_is_reported() {
        let text = format!(
            "- name: alice\n  password: hunter2\n- name: ALICE\n  password: {HASH}\n- pasword: x\n  name: bob\n- name: carol\n- name: dave\n  disabled: maybe\n  password: {HASH}\n"
        );
        let problems = parse_users(&text, "users.yaml").unwrap_err().to_string();
        let lines: Vec<_> = problems.lines().collect();
        assert_eq!(
            lines,
            [
                "users.yaml:2:13: [0].password: not an argon2id or bcrypt hash; run `cloakroom hash-password` and write its output here",
                "users.yaml:3:9: [1].name: the same name as [0] (case does not count)",
                "users.yaml:5:3: [2].pasword: unknown key; did you mean `password`?",
                "users.yaml:7:3: [3]: needs `password` or `password_file`",
                "users.yaml:9:13: [4].disabled: expected true or false, found `maybe`",
            ]
        );
    }

    #[test]
    fn a_users_file_without_users_is_a_problem() {
        assert_eq!(
            parse_users("# nobody\n", "u.yaml").unwrap_err().to_string(),
            "u.yaml:1:1: holds no users; expected a list of `- name: …`, or `[]`"
        );
        assert!(parse_users("users: []\n", "u.yaml").unwrap_err().to_string().contains("expected a list"));
    }

    #[test]
    fn an_empty_list_is_written_on_purpose() {
        assert_eq!(parse_users("[] # nobody\n", "u.yaml").unwrap(), []);
    }

    #[test]
    fn a_missing_users_file_is_named() {
        let problems = load_users(Path::new("/nowhere/users.yaml")).unwrap_err();
        assert_eq!(problems.to_string(), "/nowhere/users.yaml:1:1: cannot be read: there is no such file");
    }

    #[test]
    fn seven_thousand_users_are_read_within_a_second() {
        let text: String =
            (0..7_000).map(|i| format!("- {{ name: u{i}, password: '{HASH}', groups: [a] }}\n")).collect();
        let begun = crate::config::tests::cpu_time();
        assert_eq!(parse_users(&text, "u.yaml").unwrap().len(), 7_000);
        assert!(
            crate::config::tests::cpu_time() - begun < std::time::Duration::from_secs(1),
            "took {:?}",
            crate::config::tests::cpu_time() - begun
        );
    }
}

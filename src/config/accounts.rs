//! The file of credentials for an app: a YAML mapping from our users to their accounts there.
//!
//! Called when the configuration is loaded, so that everything after it sees accounts. Variables are not replaced here:
//! the file is made of passwords. Messages name users, never passwords.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::Checks;
use super::files::{self, MAX_CONFIG_BYTES};
use super::problem::{Mark, Problem, Problems, Report};
use super::schema::AppAccount;
use super::{recover, yaml};

/// Reads a file of at most 1 MiB; names are compared without regard to case, as those of the users file are.
///
/// # Errors
/// Every problem in the file, or that it cannot be read.
pub(super) fn load_accounts(path: &Path) -> Result<BTreeMap<String, AppAccount>, Problems> {
    let name = path.display().to_string();
    match files::read_text(path, MAX_CONFIG_BYTES) {
        Ok(text) => parse(&text, &name),
        Err(failure) => {
            let problem = Problem::new(&name, failure.mark(), "", failure.to_string());
            Err(Problems { list: vec![problem], more: 0 })
        }
    }
}

fn parse(text: &str, file: &str) -> Result<BTreeMap<String, AppAccount>, Problems> {
    let mut report = Report::new(file);
    let accounts = read(text, &mut report);
    report.problems().map_or(Ok(accounts), Err)
}

fn read(text: &str, report: &mut Report) -> BTreeMap<String, AppAccount> {
    let Some(mut tree) = yaml::read(text, report) else { return BTreeMap::new() };
    let Some(accounts) = recover::read::<BTreeMap<String, AppAccount>>(&mut tree, report) else {
        return BTreeMap::new();
    };
    tree.forget_text();
    let mut warnings = Vec::new();
    let mut checks = Checks::new(&tree, report, &mut warnings);
    if accounts.is_empty() {
        checks.problem_at(Mark::START, "", "holds no accounts; expected lines of `USER: { username: …, password: … }`");
    }
    for (user, account) in &accounts {
        if account.username.is_empty() || account.password.is_none() {
            checks.problem_at(Mark::START, user, "needs `username` and `password`");
        }
    }
    accounts.into_iter().map(|(user, account)| (user.trim().to_lowercase(), account)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_by_the_gateways_names() {
        let accounts = parse("Ann: { username: a.smith, password: 's3cret $x' }\n", "apps.yaml").unwrap();
        let ann = &accounts["ann"];
        assert_eq!((ann.username.as_str(), ann.password.as_ref().unwrap().reveal()), ("a.smith", "s3cret $x"));
    }

    #[test]
    fn what_is_missing_is_named_and_no_password_is_shown() {
        for (text, words) in [
            ("ann: { username: a }\n", "ann: needs `username` and `password`"),
            ("ann: { username: a, pasword: hunter2 }\n", "unknown key; did you mean `password`?"),
            ("# nobody\n", "holds no accounts"),
            ("- ann\n", "expected a mapping"),
        ] {
            let problems = parse(text, "apps.yaml").unwrap_err().to_string();
            assert!(problems.contains(words) && !problems.contains("hunter2"), "{text}: {problems}");
        }
    }
}

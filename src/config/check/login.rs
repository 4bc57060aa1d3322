//! Checks of sign-in: the form, its users, regulation, templates.

use std::collections::HashMap;

use super::Checks;
use crate::config::schema::{Form, Login, User};
use crate::config::secret_files::warn_if_world_readable;
use crate::config::users::load_users;

pub(super) fn check(login: &Login, checks: &mut Checks<'_>) {
    if let Some(form) = &login.form {
        check_form(form, checks);
    }
    if login.regulation.max_retries > 0 {
        checks.more_than_zero("login.regulation.find_time", login.regulation.find_time);
        checks.more_than_zero("login.regulation.ban_time", login.regulation.ban_time);
    }
    if login.title.trim().is_empty() || has_control(&login.title) {
        checks.problem("login.title", "expected one line of text");
    }
    if let Some(directory) = &login.templates_dir
        && !directory.is_dir()
    {
        checks.problem("login.templates_dir", format!("{} is not a directory", directory.display()));
    }
}

fn check_form(form: &Form, checks: &mut Checks<'_>) {
    match (&form.users_file, form.users.is_empty()) {
        (None, true) => checks.problem("login.form", "needs `users_file`, or a list of `users`"),
        (Some(_), false) => checks.problem("login.form.users_file", "give either `users_file` or `users`, not both"),
        (None, false) => users(&form.users, "login.form.users", checks),
        (Some(file), true) => match load_users(file) {
            Ok(_) => warn_if_world_readable("login.form.users_file", file, checks),
            Err(problems) => checks.append(problems),
        },
    }
}

/// Checks a list of users that stands at `path`; an empty path means a users file.
pub(in crate::config) fn users(users: &[User], path: &str, checks: &mut Checks<'_>) {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(users.len());
    for (position, user) in users.iter().enumerate() {
        let key = format!("{path}[{position}]");
        check_user(user, &key, checks);
        if let Some(first) = seen.insert(user.name.to_lowercase(), position)
            && !user.name.is_empty()
        {
            let message = format!("the same name as {path}[{first}] (case does not count)");
            checks.problem(format!("{key}.name"), message);
        }
    }
}

fn check_user(user: &User, key: &str, checks: &mut Checks<'_>) {
    if user.name.is_empty() {
        checks.problem(format!("{key}.name"), "is needed: what the person types to sign in");
    } else if user.name.trim() != user.name {
        checks.problem(format!("{key}.name"), "must not begin or end with a space");
    }
    let fields =
        [("name", Some(&user.name)), ("display_name", user.display_name.as_ref()), ("email", user.email.as_ref())];
    for (field, value) in fields {
        if value.is_some_and(|text| has_control(text)) {
            checks.problem(format!("{key}.{field}"), "must not contain control characters");
        }
    }
    for (index, group) in user.groups.iter().enumerate() {
        if group.is_empty() || has_control(group) {
            checks.problem(format!("{key}.groups[{index}]"), "expected a name without control characters");
        }
    }
    check_password(user, key, checks);
}

fn check_password(user: &User, key: &str, checks: &mut Checks<'_>) {
    let Some(password) = &user.password else {
        if user.password_file.is_none() {
            checks.problem(key, "needs `password` or `password_file`");
        }
        return;
    };
    let known = ["$argon2id$", "$2a$", "$2b$", "$2y$"];
    if !known.iter().any(|prefix| password.reveal().starts_with(prefix)) {
        let field = if user.password_file.is_some() { "password_file" } else { "password" };
        checks.problem(
            format!("{key}.{field}"),
            "not an argon2id or bcrypt hash; run `cloakroom hash-password` and write its output here",
        );
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{PUBLIC, each_is_refused, problems, warnings};

    #[test]
    fn a_form_has_exactly_one_source_of_users() {
        each_is_refused(&[
            ("login: { form: {} }", "login.form: needs `users_file`, or a list of `users`"),
            ("login: { form: { users_file: u.yaml, users: [{ name: a, password: $2b$x }] } }", "not both"),
            ("login: { form: { users_file: /nowhere/u.yaml } }", "cannot be read: there is no such file"),
        ]);
    }

    #[test]
    fn users_that_cannot_sign_in_are_refused() {
        each_is_refused(&[
            ("login: { form: { users: [{ password: $2b$x }] } }", "login.form.users[0].name: is needed"),
            ("login: { form: { users: [{ name: a }] } }", "login.form.users[0]: needs `password`"),
            ("login: { form: { users: [{ name: a, password: hunter2 }] } }", "run `cloakroom hash-password`"),
            (
                "login: { form: { users: [{ name: \"a\\nb\", password: $2b$x }] } }",
                "must not contain control characters",
            ),
            (
                "login: { form: { users: [{ name: a, password: $2b$x, groups: [''] }] } }",
                "users[0].groups[0]: expected",
            ),
            (
                "login: { form: { users: [{ name: É, password: $2b$x }, { name: é, password: $2y$x }] } }",
                "login.form.users[1].name: the same name as login.form.users[0]",
            ),
        ]);
    }

    #[test]
    fn one_problem_of_a_user_does_not_hide_another() {
        let all = problems(&format!("login: {{ form: {{ users: [{{ email: \"\\e\" }}] }} }}\n{PUBLIC}"));
        assert_eq!(all.len(), 3, "{all:?}");
    }

    #[test]
    fn regulation_title_and_templates_are_checked() {
        each_is_refused(&[
            ("login: { regulation: { ban_time: 0s } }", "login.regulation.ban_time: must be more than 0"),
            ("login: { title: '' }", "login.title: expected one line of text"),
            ("login: { templates_dir: /nowhere }", "/nowhere is not a directory"),
        ]);
        assert_eq!(
            problems(&format!("login: {{ regulation: {{ max_retries: 0, ban_time: 0s }} }}\n{PUBLIC}")),
            [""; 0]
        );
    }

    #[test]
    fn problems_of_the_users_file_are_reported_under_its_own_name() {
        let directory = tempfile::tempdir().unwrap();
        let users = directory.path().join("users.yaml");
        fs::write(&users, "- name: alice\n  password: $2b$12$x\n").unwrap();
        let text = format!("login: {{ form: {{ users_file: {} }} }}\n{PUBLIC}", users.display());
        assert!(warnings(&text).concat().contains("can be read by every user of this machine"));
        fs::write(&users, "- nam: alice\n").unwrap();
        let all = crate::config::parse(&text, "c.yaml", &|_| None).unwrap_err();
        assert_eq!((all.list[0].file.as_str(), all.list[0].path.as_str()), (users.to_str().unwrap(), "[0].nam"));
    }
}

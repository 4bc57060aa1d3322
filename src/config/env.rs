//! `${NAME}`, `${NAME:-default}` and `$$` in the values of a configuration file.
//!
//! Works on the parsed tree, never on the text, so a variable's value cannot add keys. Keys are left
//! alone. A `$` that begins none of the three stays, since password hashes are full of them.

use super::problem::Report;
use super::tree::{Node, Step};

/// What variables may add to a document in all, in bytes.
const MAX_ADDED_BYTES: usize = 1024 * 1024;

/// Looks a variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces the variables in every value; a value that cannot be replaced is reported and taken out.
pub(super) fn substitute(tree: &mut Node, env: Environment<'_>, report: &mut Report) {
    let mut left = MAX_ADDED_BYTES;
    let mut failed: Vec<(Vec<Step>, String)> = Vec::new();
    tree.each_scalar(&mut Vec::new(), &mut |steps, scalar| {
        if !scalar.text.contains('$') {
            return;
        }
        match expand(&scalar.text, env, &mut left) {
            Ok(text) => scalar.text = text,
            Err(message) => failed.push((steps.to_vec(), message)),
        }
    });
    for (steps, message) in &failed {
        let (mark, path) = tree.place(steps);
        report.reject(mark, &path, message);
    }
    // From the back, so that positions in a list stay true.
    failed.iter().rev().for_each(|(steps, _)| tree.remove(steps));
}

fn expand(text: &str, env: Environment<'_>, left: &mut usize) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('{') {
            let (inner, tail) = tail.split_once('}').ok_or("`${` without `}`; write `$$` for a plain `$`")?;
            let value = look_up(inner, env)?;
            *left = left.checked_sub(value.len()).ok_or("the values of variables add up to more than 1 MiB")?;
            expanded.push_str(&value);
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn look_up(inner: &str, env: Environment<'_>) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !valid {
        return Err("expected `${NAME}` or `${NAME:-default}` with a name of letters, digits and `_`; write `$$` for a plain `$`".into());
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable {name} is not set; set it, or give a default: `${{{name}:-default}}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand_with(text: &str) -> Result<String, String> {
        let env = |name: &str| match name {
            "HOST" => Some("wiki".to_owned()),
            "EMPTY" => Some(String::new()),
            "BIG" => Some("x".repeat(600_000)),
            _ => None,
        };
        expand(text, &env, &mut MAX_ADDED_BYTES.clone())
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(expand_with("http://${HOST}:${PORT:-8080}").unwrap(), "http://wiki:8080");
        assert_eq!(expand_with("${EMPTY:-d}|${EMPTY}|${NONE:-}").unwrap(), "d||");
    }

    #[test]
    fn dollars_that_begin_no_variable_stay() {
        assert_eq!(expand_with("$argon2id$v=19$m=1$c2FsdA$aGFzaA").unwrap(), "$argon2id$v=19$m=1$c2FsdA$aGFzaA");
        assert_eq!(expand_with("$${HOST} costs $5$").unwrap(), "${HOST} costs $5$");
    }

    #[test]
    fn an_unset_variable_is_a_problem_with_a_remedy() {
        assert_eq!(
            expand_with("${DB_KEY}").unwrap_err(),
            "the environment variable DB_KEY is not set; set it, or give a default: `${DB_KEY:-default}`"
        );
        assert!(expand_with("${HOST").unwrap_err().contains("without `}`"));
        assert!(expand_with("${A-B}").unwrap_err().contains("expected `${NAME}`"));
    }

    #[test]
    fn variables_cannot_blow_the_document_up() {
        assert!(expand_with("${BIG}").is_ok());
        assert!(expand_with("${BIG}${BIG}").unwrap_err().contains("1 MiB"));
    }

    proptest! {
        #[test]
        fn arbitrary_values_never_panic(text in "[ -~${}:ä-]{0,80}") {
            let _ = expand_with(&text);
        }

        #[test]
        fn doubled_dollars_give_the_text_back(text in any::<String>()) {
            prop_assert_eq!(expand_with(&text.replace('$', "$$")).unwrap(), text);
        }
    }
}

//! Typed reading that does not stop at the first error.
//!
//! Each round deserializes the whole tree; what could not be read is reported at its place, taken out
//! and the next round begins. Every struct of the schema has defaults, so taking out always helps.
//! Called by `config::mod` and `users`.

use serde::de::DeserializeOwned;

use super::problem::{Report, shorten};
use super::tree::{Entry, Kind, Node, Step};
use super::typed::{Cause, ReadError, Reader, one_of};

/// A round reports at least one problem, so this is more than the report lists.
const MAX_ROUNDS: usize = 60;

/// Reads a `T` and reports what had to be left out; `None` when nothing can be made of the tree.
pub(super) fn read<T: DeserializeOwned>(tree: &mut Node, report: &mut Report) -> Option<T> {
    for _ in 0..MAX_ROUNDS {
        let error = match T::deserialize(Reader::new(tree)) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let ReadError { cause, mut way } = error;
        way.reverse();
        let is_root = way.is_empty() && !matches!(cause, Cause::UnknownKey(_));
        match cause {
            Cause::UnknownKey(known) => reject_unknown_keys(tree, &way, known, report),
            Cause::Message(message) => reject(tree, &way, &message, report),
            Cause::UnknownWord(word, known) => reject(tree, &way, &unknown_word(&word, known), report),
        }
        if is_root {
            return None;
        }
        if report.is_full() {
            // One more look, to be able to say that the list is not complete.
            let whole = T::deserialize(Reader::new(tree));
            return whole.inspect_err(|_| report.count_only()).ok();
        }
    }
    None
}

fn reject(tree: &mut Node, way: &[Step], message: &str, report: &mut Report) {
    let (mark, path) = tree.place(way);
    report.reject(mark, &path, message);
    tree.remove(way);
}

/// Reports all unknown keys of one mapping in one round.
fn reject_unknown_keys(tree: &mut Node, way: &[Step], known: &[&str], report: &mut Report) {
    let (_, path) = tree.place(way);
    let Some(Kind::Map(entries)) = tree.at(way).map(|node| &mut node.kind) else { return };
    let prefix = if path.is_empty() { path } else { format!("{path}.") };
    entries.retain(|entry| {
        if known.contains(&entry.key.as_str()) {
            return true;
        }
        if report.is_full() {
            report.count_only();
        } else {
            report_unknown_key(entry, &prefix, known, report);
        }
        false
    });
}

fn report_unknown_key(entry: &Entry, prefix: &str, known: &[&str], report: &mut Report) {
    // SECURITY: `{ password: $argon2id$v=19$m=1,t=2,p=1$SALT$HASH }` without quotes gives such keys.
    if let Some((start, _)) = entry.key.split_once('=') {
        let message = "not a key: inside `{ }` a comma ends a value; put the value before it in quotes";
        report.reject(entry.mark, &format!("{prefix}{}=…", shorten(start)), message);
        return;
    }
    let guess = closest(&entry.key, known);
    report.reject(entry.mark, &format!("{prefix}{}", shorten(&entry.key)), unknown_key(&entry.key, guess, known));
    if let Some(guess) = guess {
        // "`url` is missing" would only repeat "did you mean `url`?".
        report.settle(&format!("{prefix}{guess}"));
    }
}

fn unknown_key(key: &str, guess: Option<&str>, known: &[&str]) -> String {
    match (key, guess) {
        ("<<", _) => "merge keys (`<<`) are not part of YAML 1.2; write the keys out".into(),
        (_, Some(guess)) => format!("unknown key; did you mean `{guess}`?"),
        _ => format!("unknown key; known here: {}", known.join(", ")),
    }
}

fn unknown_word(word: &str, known: &[&str]) -> String {
    let guess = closest(word, known).map(|guess| format!("; did you mean `{guess}`?")).unwrap_or_default();
    format!("expected {}, found `{}`{guess}", one_of(known), shorten(word))
}

/// The known word that a misspelt one most likely stands for.
fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > 40 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let distances = known.iter().map(|candidate| (edit_distance(&word, candidate), *candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + candidate.len() / 5).then_some(candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::schema::Config;
    use super::super::yaml;
    use super::*;

    fn read_config(text: &str) -> (Option<Config>, Vec<String>) {
        let mut report = Report::new("a.yaml");
        let mut tree = yaml::read(text, &mut report).unwrap();
        let config = read(&mut tree, &mut report);
        let problems = report.problems();
        (config, problems.map(|all| all.to_string().lines().map(str::to_owned).collect()).unwrap_or_default())
    }

    fn problems(text: &str) -> Vec<String> {
        read_config(text).1
    }

    #[test]
    fn all_problems_are_reported_at_their_places_and_the_rest_is_read() {
        let (config, problems) = read_config(
            "prefix: /gate\nwokers: 2\nsession:\n  idle_timeout: 30\n  cookie: { secure: maybe }\nroutes:\n  - 5\n  - upstream: { url: http://a, hots: b }\n    access: everybody\n",
        );
        assert_eq!(
            problems,
            [
                "a.yaml:2:1: wokers: unknown key; did you mean `workers`?",
                "a.yaml:4:17: session.idle_timeout: expected a duration such as 500ms, 30s, 5m, 2h or 14d, found `30`",
                "a.yaml:5:21: session.cookie.secure: expected true, false or `auto`, found `maybe`",
                "a.yaml:7:5: routes[0]: expected a mapping (`key: value` lines), found text",
                "a.yaml:8:32: routes[1].upstream.hots: unknown key; did you mean `host`?",
                "a.yaml:9:13: routes[1].access: expected `public`, `user` or `{ groups: [NAME, …] }`, found `everybody`",
            ]
        );
        let config = config.unwrap();
        assert_eq!((config.prefix.as_str(), config.routes.len()), ("/gate", 1));
        assert_eq!(config.routes[0].upstream.url.as_deref(), Some("http://a"));
    }

    #[test]
    fn words_of_yaml_1_1_get_a_remedy() {
        assert_eq!(
            problems("log: { access: on }\nstore: { max_sessions: 012 }\n"),
            [
                "a.yaml:1:16: log.access: expected true or false (write true, without quotes), found `on`",
                "a.yaml:2:24: store.max_sessions: expected a whole number from 0 to 4294967295 (write 12), found `012`",
            ]
        );
    }

    #[test]
    fn quoted_booleans_and_numbers_are_text() {
        assert_eq!(
            problems("log: { access: 'true' }\n"),
            ["a.yaml:1:16: log.access: expected true or false (write true, without quotes), found the text \"true\""]
        );
    }

    #[test]
    fn plain_numbers_are_text_where_text_is_asked_for() {
        let (config, problems) =
            read_config("login: { title: 2024, form: { users: [{ name: 0123, groups: [no, 1] }] } }");
        let config = config.unwrap();
        let user = &config.login.form.unwrap().users[0];
        assert!(problems.is_empty());
        assert_eq!((config.login.title.as_str(), user.name.as_str()), ("2024", "0123"));
        assert_eq!(user.groups, ["no", "1"]);
    }

    #[test]
    fn a_key_without_value_means_its_defaults() {
        let (config, problems) = read_config("session:\nroutes:\nlogin:\n  form:\n");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config.unwrap(), Config::default());
    }

    #[test]
    fn words_of_an_enum_are_listed() {
        assert_eq!(
            problems("session: { cookie: { same_site: Lax } }"),
            [
                "a.yaml:1:33: session.cookie.same_site: expected `strict`, `lax` or `none`, found `Lax`; did you mean `lax`?"
            ]
        );
        assert!(problems("workers: all")[0].ends_with("expected `auto` or a whole number from 1 to 1024, found `all`"));
        assert!(problems("workers: 0")[0].ends_with("expected `auto` or a whole number from 1 to 1024, found `0`"));
        assert!(problems("workers:")[0].ends_with("found nothing"));
    }

    #[test]
    fn addresses_and_networks_say_what_to_write() {
        assert!(problems("admin: { address: localhost }")[0].contains("expected IP:PORT such as 127.0.0.1:9600"));
        assert!(
            problems("trusted_proxies: [10.0.0.0/8, lan]")[0]
                .contains("trusted_proxies[1]: expected a network such as 10.0.0.0/8 or an IP address, found `lan`")
        );
        assert_eq!(read_config("trusted_proxies: [10.0.0.1]").0.unwrap().trusted_proxies[0].to_string(), "10.0.0.1/32");
    }

    #[test]
    fn secrets_are_never_repeated() {
        for text in [
            "session: { keys: hunter2 }",
            "session: { keys: [{ hunter2: 1 }, [hunter2]] }",
            "login: { form: { users: [{ password: [hunter2] }, { passwort: hunter2 }] } }",
            "hunter2",
            "login: { form: { users: [{ password: $argon2id$v=19$m=1,t=2,p=1$hunter2$hunter2 }] } }",
        ] {
            let problems = problems(text);
            assert!(!problems.is_empty() && !problems.concat().contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn ten_thousand_unknown_keys_are_counted_within_a_second() {
        let text: String = (0..10_000).map(|i| format!("k{i}: 1\n")).collect();
        let begun = crate::config::tests::cpu_time();
        let all = problems(&text);
        assert!(
            crate::config::tests::cpu_time() - begun < Duration::from_secs(1),
            "took {:?}",
            crate::config::tests::cpu_time() - begun
        );
        assert_eq!((all.len(), all[50].as_str()), (51, "and at least 9950 more"));
    }

    #[test]
    fn ten_thousand_broken_elements_end_within_a_second() {
        let text = format!("routes: [{}]", "5, ".repeat(10_000));
        let begun = crate::config::tests::cpu_time();
        assert_eq!(problems(&text).last().unwrap(), "and at least 1 more");
        assert!(
            crate::config::tests::cpu_time() - begun < Duration::from_secs(1),
            "took {:?}",
            crate::config::tests::cpu_time() - begun
        );
    }

    #[test]
    fn swapped_letters_and_dashes_are_guessed() {
        assert_eq!(closest("rotues", &["routes", "store"]), Some("routes"));
        assert_eq!(closest("same-site", &["same_site", "secure"]), Some("same_site"));
        assert_eq!(closest("frobnicate", &["routes", "store"]), None);
    }
}

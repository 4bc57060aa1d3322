//! What the sign-in page needs to look and work as it should, and strangers may therefore see.
//!
//! Called by `analysis`, with what the browser fetched before the sign-in.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::login_page::path_of;
use super::sighting::Journal;
use crate::config::schema::ObservedLogin;

/// More paths for strangers than this are not written down one by one.
const MOST_PUBLIC_PATHS: usize = 16;

/// Those that were fetched before `begun`, but for the sign-in `page` itself and `door`, where passwords go. Scripts ask
/// by POST too; where such a call has the path of the sign-in and is told from it, the path must be named.
pub fn find(journal: &Journal, begun: usize, page: &str, door: &ObservedLogin) -> Vec<String> {
    let opens_itself = door.form.is_empty() && door.query.is_empty();
    let mut paths = BTreeSet::new();
    for (_, one) in journal.all().filter(|(place, _)| *place < begun) {
        let asks = one.asked.method == Method::GET || (one.said.json().is_some() && !one.offers_a_password());
        let needed = asks && one.said.status.is_success() && !one.asked.navigates;
        let is_door = one.asked.path == door.path && (opens_itself || one.asked.method == Method::GET);
        let known = one.asked.path == path_of(page) || is_door;
        if needed && !known && (one.said.is_asset() || one.said.json().is_some()) {
            paths.insert(one.asked.path.as_str());
        }
    }
    widened(&paths)
}

/// Folders that hold several of the files, and single ones.
fn widened(paths: &BTreeSet<&str>) -> Vec<String> {
    let is_file = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let kinds =
            ["css", "js", "mjs", "map", "png", "svg", "ico", "gif", "jpg", "jpeg", "webp", "woff", "woff2", "ttf"];
        name.rsplit_once('.').is_some_and(|(_, kind)| kinds.contains(&kind))
    };
    let folder =
        |path: &str| path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).filter(|folder| folder.len() > 1);
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for folder in paths.iter().filter(|path| is_file(path)).filter_map(|path| folder(path)) {
        *folders.entry(folder).or_default() += 1;
    }
    folders.retain(|_, count| *count > 1);
    let written = |path: &&str| match folder(path).filter(|folder| is_file(path) && folders.contains_key(folder)) {
        Some(folder) => format!("{folder}*"),
        None => (*path).to_owned(),
    };
    let all: BTreeSet<String> = paths.iter().map(written).collect();
    let is_covered = |path: &str| {
        let mut wider = all.iter().filter(|other| other.as_str() != path).filter_map(|other| other.strip_suffix('*'));
        wider.any(|folder| path.starts_with(folder))
    };
    all.iter().filter(|path| !is_covered(path)).take(MOST_PUBLIC_PATHS).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_of_a_folder_open_the_folder_and_scripts_on_the_server_do_not() {
        let paths = ["/s/a.css", "/s/b.js", "/lib/css.php", "/lib/js.php", "/one/x.png", "/favicon.ico", "/robots.png"];
        let expected = ["/favicon.ico", "/lib/css.php", "/lib/js.php", "/one/x.png", "/robots.png", "/s/*"];
        assert_eq!(widened(&paths.into_iter().collect()), expected);
    }

    #[test]
    fn what_lies_in_an_open_folder_is_not_named_again() {
        let paths = ["/s/a.css", "/s/b.css", "/s/deep/c.png", "/s/deep/d.png", "/s/deep/er/e.png", "/star.png"];
        assert_eq!(widened(&paths.into_iter().collect()), ["/s/*", "/star.png"]);
    }
}

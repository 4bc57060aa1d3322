//! The users of the sign-in form: an immutable table, replaced as a whole when the users file changes.
//!
//! The form asks [`Users::find`]; every signed-in request asks [`Users::proof`]. Sessions of those who vanish are
//! ended by the caller: this module knows no sessions. The file is followed by [`super::users_file`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;

use super::hash::Scheme;
use crate::config::{Secret, schema};

/// Reads the text of a users file; the second argument is its name, for messages.
pub type Parser = fn(&str, &str) -> Result<Vec<schema::User>, String>;

/// Why a users file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read the users file {}: {source}; check the path and that this process may read it", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read but is not a list of users.
    #[error("the users file {} is not usable: {problem}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong, with places.
        problem: String,
    },
    /// Two entries are the same person.
    #[error("user `{0}` is listed twice (names are compared without regard to case)")]
    Duplicate(String),
}

/// What a sign-in rests on: password and groups. A session remembers it, and ends when it is no longer the account's.
pub type Proof = [u8; 8];

/// A person who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The canonical name: the one that sessions, regulation and the app behind see.
    pub name: String,
    /// For `{name}`.
    pub display_name: Option<String>,
    /// For `{email}`.
    pub email: Option<String>,
    /// For `{groups}` and policy.
    pub groups: Vec<String>,
    /// The hash; empty when the user has none, which no password matches.
    pub password: Secret,
    /// True: cannot sign in, and has no session.
    pub disabled: bool,
    proof: Proof,
}

impl Account {
    /// See [`Proof`].
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.proof
    }
}

/// SECURITY: a digest, since it is stored with the session; each part with its length, so that none can stand for two.
fn proof(password: &Secret, groups: &[String]) -> Proof {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in std::iter::once(password.reveal()).chain(groups.iter().map(String::as_str)) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut proof = Proof::default();
    proof.copy_from_slice(&context.finish().as_ref()[..8]);
    proof
}

impl From<schema::User> for Account {
    fn from(user: schema::User) -> Self {
        let schema::User { name, password, password_file: _, display_name, email, groups, disabled } = user;
        let name = canonical_name(&name).into_owned();
        let password = password.unwrap_or_else(|| String::new().into());
        let proof = proof(&password, &groups);
        Self { name, display_name, email, groups, password, disabled, proof }
    }
}

/// The one spelling of a user name: without surrounding white space, in Unicode lower case.
///
/// Nothing more is folded: a name in another normalisation form or with look-alike letters is another name, and as
/// such unknown. It cannot become a second spelling of a known account, with bans of its own.
/// PERF: a name that is canonical already, as those in sessions are, is returned as it is.
#[must_use]
pub fn canonical_name(typed: &str) -> Cow<'_, str> {
    let trimmed = typed.trim();
    if trimmed.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(trimmed);
    }
    // Per character, so that the result does not depend on a letter's neighbours (final sigma does in `str`).
    Cow::Owned(trimmed.chars().flat_map(char::to_lowercase).collect())
}

/// All accounts at one moment, by canonical name.
#[derive(Debug)]
struct Table {
    accounts: HashMap<String, Arc<Account>>,
    /// What an unknown name's password is checked against.
    dummy: Secret,
}

impl Table {
    fn new(users: Vec<schema::User>) -> Result<Self, Error> {
        let mut accounts = HashMap::with_capacity(users.len());
        for account in users.into_iter().map(Account::from) {
            if let Some(previous) = accounts.insert(account.name.clone(), Arc::new(account)) {
                return Err(Error::Duplicate(previous.name.clone()));
            }
        }
        let dummy = usual_scheme(accounts.values()).dummy().into();
        Ok(Self { accounts, dummy })
    }

    fn proof(&self, canonical: &str) -> Option<Proof> {
        self.accounts.get(canonical).filter(|account| !account.disabled).map(|account| account.proof)
    }

    fn gone(&self, next: Option<&Self>) -> Vec<String> {
        let stays = |name: &str, proof| next.and_then(|next| next.proof(name)) == Some(proof);
        let is_gone = |name: &&String| self.proof(name).is_some_and(|proof| !stays(name, proof));
        let mut gone: Vec<_> = self.accounts.keys().filter(is_gone).cloned().collect();
        gone.sort_unstable();
        gone
    }
}

/// Numbers the tables of the process, from 1.
///
/// SECURITY: a session is marked with the number of the table that it was checked against; after a reload that puts
/// another list in place, no other table may bear it.
fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The scheme most passwords are hashed with.
fn usual_scheme<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>) -> Scheme {
    let mut counts = BTreeMap::<Scheme, usize>::new();
    for scheme in accounts.filter_map(|account| Scheme::of(account.password.reveal())) {
        *counts.entry(scheme).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(scheme, _)| scheme).unwrap_or_default()
}

/// The users table; shared by all workers, read without a lock.
#[derive(Debug)]
pub struct Users {
    table: ArcSwap<Table>,
    /// The number of the present table.
    generation: AtomicU64,
    file: Option<PathBuf>,
    parse: Parser,
}

impl Users {
    /// Reads `users_file`, or takes `users` where no file is named. Hashes from a `password_file` must have been
    /// read into `password` before: by the configuration's loader, and by `parse`.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or a name comes twice.
    pub fn from_config(form: &schema::Form, parse: Parser) -> Result<Self, Error> {
        let users = match &form.users_file {
            Some(file) => read(file, parse)?,
            None => form.users.clone(),
        };
        let table = ArcSwap::from_pointee(Table::new(users)?);
        Ok(Self { table, generation: AtomicU64::new(next_number()), file: form.users_file.clone(), parse })
    }

    /// The account of a name as somebody typed it, disabled ones too.
    #[must_use]
    pub fn find(&self, typed_name: &str) -> Option<Arc<Account>> {
        self.table.load().accounts.get(canonical_name(typed_name).as_ref()).cloned()
    }

    /// Changes whenever [`Self::proof`] may. Read it first: what is looked up after that is as new, or newer.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The proof that sessions of this account must hold; `None` when it does not exist or is disabled.
    ///
    /// PERF: one hash look-up, and no allocation for an ASCII canonical name.
    #[must_use]
    pub fn proof(&self, canonical: &str) -> Option<Proof> {
        self.table.load().proof(canonical)
    }

    /// Puts another list in place of the present one; returns the canonical names that vanished, became disabled or
    /// got another password or other groups, whose sessions must end.
    ///
    /// # Errors
    /// [`Error::Duplicate`]; the present list then stays.
    pub fn replace(&self, users: Vec<schema::User>) -> Result<Vec<String>, Error> {
        let next = Arc::new(Table::new(users)?);
        let previous = self.table.swap(Arc::clone(&next));
        // SECURITY: after the swap, or a session could be checked against the old table and marked with the new number.
        self.generation.store(next_number(), Ordering::Release);
        Ok(previous.gone(Some(&next)))
    }

    /// Those of this list whose sessions must end when `next` takes its place: see [`Self::replace`].
    #[must_use]
    pub fn gone(&self, next: Option<&Self>) -> Vec<String> {
        self.table.load().gone(next.map(|next| next.table.load_full()).as_deref())
    }

    /// Reads the users file again, as [`Self::replace`] does; nothing without a file.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or a name comes twice; the present list then stays.
    pub fn reload(&self) -> Result<Vec<String>, Error> {
        match &self.file {
            Some(file) => self.replace(read(file, self.parse)?),
            None => Ok(Vec::new()),
        }
    }

    /// The users file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// A hash that no password matches, of the scheme most accounts use.
    #[must_use]
    pub fn dummy(&self) -> Secret {
        self.table.load().dummy.clone()
    }
}

fn read(file: &Path, parse: Parser) -> Result<Vec<schema::User>, Error> {
    let text = fs::read_to_string(file).map_err(|source| Error::Unreadable { file: file.to_path_buf(), source })?;
    let broken = |problem| Error::Broken { file: file.to_path_buf(), problem };
    // SECURITY: a file that is being rewritten in place is empty for a moment; that must not sign everybody out.
    if text.trim().is_empty() {
        return Err(broken("it is empty; write `[]` for no users".into()));
    }
    parse(&text, &file.display().to_string()).map_err(broken)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::hash::tests::{argon2id_of, bcrypt_of};
    use super::*;
    use crate::config::schema::{Form, User};

    /// One name per line, `!` before a disabled one, `?` is a mistake.
    pub(in crate::auth) fn one_name_per_line(text: &str, file_name: &str) -> Result<Vec<User>, String> {
        if text.contains('?') {
            return Err(format!("{file_name}:1:1: unexpected `?`"));
        }
        Ok(text.lines().map(|line| named(line.trim_start_matches('!'), line.starts_with('!'))).collect())
    }

    fn named(name: &str, disabled: bool) -> User {
        User { name: name.into(), disabled, ..User::default() }
    }

    fn users(list: Vec<User>) -> Users {
        Users::from_config(&Form { users: list, ..Form::default() }, one_name_per_line).unwrap()
    }

    #[test]
    fn a_name_is_found_in_any_case_and_with_spaces_around() {
        let users = users(vec![named("Alice", false), named("ÉMILE", false)]);
        for typed in ["alice", "ALICE", " Alice\t", "aLiCe"] {
            assert_eq!(users.find(typed).unwrap().name, "alice", "{typed:?}");
        }
        assert_eq!(users.find("émile").unwrap().name, "émile");
        for typed in ["", " ", "alic", "alice2", "al ice", "\u{ff21}lice"] {
            assert!(users.find(typed).is_none(), "{typed:?}");
        }
    }

    #[test]
    fn only_those_who_exist_and_are_not_disabled_are_active() {
        let users = users(vec![named("alice", false), named("bob", true)]);
        assert!(users.proof("alice").is_some());
        assert!(users.proof("bob").is_none());
        assert!(users.proof("carol").is_none());
        assert!(users.find("bob").is_some_and(|bob| bob.disabled));
    }

    #[test]
    fn replacing_the_list_names_those_who_vanished_or_became_disabled() {
        let users = users(vec![named("alice", false), named("Bob", false), named("carol", false), named("dave", true)]);
        let gone = users.replace(vec![named("ALICE", false), named("bob", true), named("erin", false)]).unwrap();
        assert_eq!(gone, ["bob", "carol"]);
        assert!(
            users.proof("alice").is_some()
                && users.proof("erin").is_some()
                && users.proof("bob").is_none()
                && users.proof("carol").is_none()
        );
    }

    #[test]
    fn the_same_person_twice_is_refused_and_the_old_list_stays() {
        let users = users(vec![named("alice", false)]);
        let error = users.replace(vec![named("bob", false), named(" BOB ", false)]).unwrap_err();
        assert!(error.to_string().contains("`bob` is listed twice"), "{error}");
        assert!(users.proof("alice").is_some());
    }

    #[test]
    fn the_dummy_is_of_the_scheme_most_accounts_use() {
        let with = |name: &str, hash: String| User { password: Some(hash.into()), ..named(name, false) };
        let table = users(vec![
            with("a", argon2id_of("x")),
            with("b", bcrypt_of("x")),
            with("c", bcrypt_of("y")),
            with("d", "unusable".into()),
            with("e", "unusable".into()),
            named("f", false),
        ]);
        assert_eq!(Scheme::of(table.dummy().reveal()), Some(Scheme::Bcrypt { cost: 4 }));
        assert_eq!(Scheme::of(users(Vec::new()).dummy().reveal()), Some(Scheme::default()));
    }

    #[test]
    fn a_file_is_read_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        fs::write(&file, "alice\nbob").unwrap();
        let form = Form { users_file: Some(file.clone()), ..Form::default() };
        let users = Users::from_config(&form, one_name_per_line).unwrap();
        assert!(users.proof("alice").is_some() && users.proof("bob").is_some());
        fs::write(&file, "alice\n!bob\ncarol").unwrap();
        assert_eq!(users.reload().unwrap(), ["bob"]);
        assert!(users.proof("carol").is_some());
    }

    #[test]
    fn a_missing_or_broken_file_is_named_and_the_old_list_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        let form = Form { users_file: Some(file.clone()), ..Form::default() };
        let missing = Users::from_config(&form, one_name_per_line).unwrap_err().to_string();
        assert!(missing.contains(file.to_str().unwrap()) && missing.contains("cannot read"), "{missing}");

        fs::write(&file, "alice").unwrap();
        let users = Users::from_config(&form, one_name_per_line).unwrap();
        fs::write(&file, "?").unwrap();
        let broken = users.reload().unwrap_err().to_string();
        assert!(broken.contains(":1:1: unexpected"), "{broken}");
        fs::write(&file, "\n").unwrap();
        let empty = users.reload().unwrap_err().to_string();
        assert!(empty.contains("it is empty"), "{empty}");
        assert!(users.proof("alice").is_some());
    }

    proptest! {
        #[test]
        fn a_canonical_name_is_its_own_canonical_name(typed in ".{0,40}") {
            let once = canonical_name(&typed).into_owned();
            prop_assert_eq!(canonical_name(&once), once.as_str());
        }
    }
}

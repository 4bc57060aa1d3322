//! Password hashes as text: which kind one is, whether a password matches it, and how new ones are made.
//!
//! Everything here computes on the calling thread, for tens of milliseconds: servers go through
//! [`super::password::Hasher`], the command line calls [`hash`] itself.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// Longest password that is looked at, in bytes. Hashing a megabyte on request would be a gift to attackers.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// bcrypt reads no further than this.
const BCRYPT_BYTES: usize = 72;
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// A new argon2id hash in PHC form, with OWASP's parameters: 19 MiB, two passes, one lane.
#[must_use]
pub fn hash(password: &str) -> String {
    let salt: [u8; 16] = rand::random();
    let hashed = hasher().hash_password_with_salt(password.as_bytes(), &salt);
    // Parameters and salt length are constants of the crate, and no password reaches argon2's limit of 4 GiB.
    #[expect(clippy::expect_used, reason = "the invariant above")]
    hashed.expect("constant parameters are valid").to_string()
}

/// Kind and cost of a hash: two hashes of the same scheme take the same time to check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// argon2id.
    Argon2id {
        /// Version and parameters, as written: `v=19$m=19456,t=2,p=1`.
        parameters: String,
        /// Length of the hash proper, in bytes.
        output_bytes: usize,
    },
    /// bcrypt, prefix `$2a$`, `$2b$` or `$2y$`.
    Bcrypt {
        /// Binary logarithm of the number of rounds.
        cost: u32,
    },
}

impl Default for Scheme {
    /// That of [`hash`].
    fn default() -> Self {
        let params = Params::default();
        let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
        Self::Argon2id { parameters: format!("v=19$m={m},t={t},p={p}"), output_bytes: Params::DEFAULT_OUTPUT_LEN }
    }
}

impl Scheme {
    /// The scheme of `hash`; `None` when no password can be checked against it.
    ///
    /// argon2i and argon2d are not taken (weaker against one attack or the other), nor `$2x$`, the mark of a
    /// bcrypt that lost bits of its input (CVE-2011-2483).
    #[must_use]
    pub fn of(hash: &str) -> Option<Self> {
        if let Some(rest) = hash.strip_prefix("$argon2id$") {
            let parsed = PasswordHash::new(hash).ok()?;
            Params::try_from(&parsed).ok()?;
            parsed.version.map(Version::try_from).transpose().ok()?;
            let output_bytes = parsed.salt.as_ref().and(parsed.hash.as_ref())?.len();
            let (parameters, _) = rest.rsplit_once('$')?.0.rsplit_once('$')?;
            return Some(Self::Argon2id { parameters: parameters.to_owned(), output_bytes });
        }
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix));
        let parts: bcrypt::HashParts = hash.parse().ok().filter(|_| known)?;
        let cost = parts.get_cost();
        (4..=31).contains(&cost).then_some(Self::Bcrypt { cost })
    }

    /// A well-formed hash of this scheme that belongs to no password: salt and output are random.
    #[must_use]
    pub fn dummy(&self) -> String {
        match self {
            Self::Argon2id { parameters, output_bytes } => {
                let random: [u8; Output::MAX_LENGTH] = rand::random();
                let output = Output::new(random.get(..*output_bytes).unwrap_or(&random));
                let salt = Salt::new(&rand::random::<[u8; 16]>());
                match (salt, output) {
                    (Ok(salt), Ok(output)) => format!("$argon2id${parameters}${salt}${output}"),
                    // Not reached: both lengths lie within the format's bounds.
                    _ => hash(""),
                }
            }
            Self::Bcrypt { cost } => {
                let salt = BCRYPT_BASE64.encode(rand::random::<[u8; 16]>());
                let output: [u8; 24] = rand::random();
                format!("$2b${cost:02}${salt}{}", BCRYPT_BASE64.encode(&output[..23]))
            }
        }
    }
}

/// Whether `password` belongs to `hash`. Takes the full time of the scheme also when the answer is sure before.
///
/// SECURITY: a password longer than bcrypt reads is refused instead of cut: cut, it would match every other with
/// the same first 72 bytes, and its owner would believe in strength that is not there.
#[must_use]
pub fn verify(hash: &str, password: &str) -> bool {
    let bytes = password.as_bytes();
    let limit = if hash.starts_with("$2") { BCRYPT_BYTES } else { MAX_PASSWORD_BYTES };
    let (read, whole) = (&bytes[..bytes.len().min(limit)], bytes.len() <= limit);
    let matches = match Scheme::of(hash) {
        Some(Scheme::Argon2id { .. }) => hasher().verify_password(read, hash).is_ok(),
        Some(Scheme::Bcrypt { .. }) => bcrypt::verify(read, hash).unwrap_or(false),
        None => false,
    };
    matches && whole
}

/// For new hashes; when one is verified, its own parameters count.
fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A quick bcrypt, at the least cost it knows; for tests only.
    pub(in crate::auth) fn bcrypt_of(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    /// A quick argon2id, for tests only.
    pub(in crate::auth) fn argon2id_of(password: &str) -> String {
        let params = Params::new(64, 1, 1, None).unwrap();
        let quick = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        quick.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").unwrap().to_string()
    }

    #[test]
    fn a_new_hash_has_owasps_parameters_and_is_salted() {
        let made = hash("correct horse");
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert_ne!(made, hash("correct horse"));
        assert_eq!(Scheme::of(&made), Some(Scheme::default()));
        assert!(verify(&made, "correct horse") && !verify(&made, "correct horsf"));
    }

    #[test]
    fn bcrypt_verifies_under_each_of_its_prefixes() {
        let made = bcrypt_of("correct horse");
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let hash = format!("{prefix}{}", &made[4..]);
            assert!(verify(&hash, "correct horse"), "{hash}");
            assert!(!verify(&hash, "Correct horse"), "{hash}");
        }
    }

    #[test]
    fn a_line_of_htpasswd_verifies() {
        // The vector of the bcrypt crate's own tests, as `htpasswd -B` writes it.
        assert!(verify("$2y$12$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u", "hunter2"));
    }

    #[test]
    fn bcrypt_refuses_what_it_would_cut() {
        let hash = bcrypt_of(&"x".repeat(72));
        assert!(verify(&hash, &"x".repeat(72)));
        assert!(!verify(&hash, &"x".repeat(73)));
    }

    #[test]
    fn argon2id_reads_long_passwords_to_their_end() {
        let long = "x".repeat(MAX_PASSWORD_BYTES);
        let hash = argon2id_of(&long);
        assert!(verify(&hash, &long));
        assert!(!verify(&hash, &long[1..]));
        assert!(!verify(&hash, &format!("{long}x")));
    }

    #[test]
    fn other_kinds_of_hash_are_unusable() {
        let quick = argon2id_of("x");
        let others = [
            "",
            "x",
            "!",
            "plain text",
            "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "$6$rounds=5000$saltsalt$x",
            "$argon2id$",
            "$argon2id$v=19$m=64,t=1,p=1",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
            "$2b$04$short",
            "$2b$99$......................21jzCB1r6pN6rp5O2Ev0ejjTAboskKm",
            "$2x$04$......................21jzCB1r6pN6rp5O2Ev0ejjTAboskKm",
            &quick.replace("argon2id", "argon2i"),
            &quick.replace("argon2id", "argon2d"),
            &quick.replace("v=19", "v=18"),
            &quick.replace("t=1", "t=0"),
        ];
        for hash in others {
            assert_eq!(Scheme::of(hash), None, "{hash}");
            assert!(!verify(hash, "x"), "{hash}");
        }
    }

    #[test]
    fn a_dummy_costs_what_its_model_costs_and_matches_nothing() {
        for model in [argon2id_of("x"), bcrypt_of("x"), Scheme::default().dummy()] {
            let scheme = Scheme::of(&model).unwrap();
            let dummy = scheme.dummy();
            assert_eq!(Scheme::of(&dummy), Some(scheme));
            assert_ne!(dummy, model);
            assert!(!verify(&dummy, "x") && !verify(&dummy, ""));
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked_for_its_scheme(text in "\\$(argon2id|2[aby])\\$[ -~é]{0,80}") {
            if let Some(scheme) = Scheme::of(&text) {
                prop_assert_eq!(Scheme::of(&scheme.dummy()), Some(scheme));
            }
        }
    }
}

//! The words by which people who write apps call what is of interest: passwords, names, tokens, ways in and out.
//!
//! Hints only: what is concluded from them is checked against what the app did.

use std::sync::LazyLock;

use regex::Regex;

static PASSWORD: LazyLock<Option<Regex>> = LazyLock::new(|| compile(r"(?i)pass|pwd|kennwort|contrase|motdepasse"));
static USER: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"(?i)user|login|mail|name|benutzer|account|uid|identi"));
static TOKEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"(?i)csrf|xsrf|token|nonce|sectok|session|sid$|state|key|hash|captcha|otp|code"));
static WAY_OUT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r"(?i)(log|sign)[-_.]?(out|off)|abmeld|ausloggen|d[eé]connexion|revoke|(end|delete|destroy)[-_]?session|cerrar",
    )
});
static WAY_IN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r"(?i)log[-_.]?(in|on)|(^|[^a-z])(sign[-_.]?(in|on)|o?auth(2|enticate|orize)?|sessions?|tokens?)($|[^a-z])|anmeld|connexion",
    )
});
static WHO_AM_I: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?i)/(me|self|whoami|user|users/me|current|current[-_]?user|profile|account|session|userinfo|settings)\b")
});

static WAY_BACK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?i)^_?(return|redirect|next|back|goto|continue|target|url|from|ref(erer)?|dest|rd|came)([-_a-z]*)$")
});

static SETTING: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"(?i)^(remember|persist|keep|stay|lang|locale|submit|button)"));

static OUTCOME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r"(?i)(^|/)(ok|true|valid|error|failed|failure|result|status|done|welcome)$|succe|authenticated|logged[-_]?in",
    )
});

/// A pattern of ours that does not compile matches nothing; a test compiles each.
fn compile(pattern: &str) -> Option<Regex> {
    let compiled = Regex::new(pattern);
    debug_assert!(compiled.is_ok(), "{pattern}");
    compiled.ok()
}

fn says(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    (**regex).as_ref().is_some_and(|regex| regex.is_match(text))
}

/// A field for a password.
pub fn is_password(field: &str) -> bool {
    matches!(last(field), "p" | "pw" | "pin") || says(&PASSWORD, field)
}

/// A field for the name of a user.
pub fn is_user(field: &str) -> bool {
    !is_token(field) && (matches!(last(field), "u" | "log" | "id") || says(&USER, field))
}

/// A field for what only the app understands.
pub fn is_token(field: &str) -> bool {
    says(&TOKEN, field)
}

/// A path, or the value of a parameter, that leads out.
pub fn is_way_out(text: &str) -> bool {
    says(&WAY_OUT, text)
}

/// A path, or the value of a parameter, that leads in.
pub fn is_way_in(text: &str) -> bool {
    says(&WAY_IN, text) && !is_way_out(text)
}

/// A key, or a word, that says whether something has worked.
pub fn is_outcome(text: &str) -> bool {
    is_word(text.rsplit('/').next().unwrap_or_default()) && says(&OUTCOME, text)
}

/// A path where apps tell a browser whom it belongs to.
pub fn is_who_am_i(path: &str) -> bool {
    says(&WHO_AM_I, path)
}

/// A value that the people who wrote the app chose, and not a token or what somebody typed.
pub fn is_word(value: &str) -> bool {
    (1..=24).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
}

/// The same, or a page's name or path in the app's own words: `Special:UserLogin`, `/server/databases`, `user.login`.
pub fn is_place(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/');
    (1..=48).contains(&value.len()) && value.bytes().all(plain) && !value.contains("//")
}

/// A parameter that says where to go on afterwards.
pub fn is_way_back(name: &str) -> bool {
    says(&WAY_BACK, name)
}

/// A choice that a sign-in offers besides, which is nobody's name: `remember_me`, `language`.
pub fn is_setting(field: &str) -> bool {
    says(&SETTING, last(field))
}

/// `auth[username]` and `/auth/username` end in `username`.
fn last(field: &str) -> &str {
    let field = field.trim_end_matches(']');
    field.rsplit(['[', '/']).next().unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_by_their_names() {
        for name in ["password", "wpPassword1", "pwd", "p", "auth[p]", "/auth/passwd", "j_password"] {
            assert!(is_password(name), "{name}");
        }
        for name in ["username", "auth[username]", "u", "log", "wpName", "email", "/a/login"] {
            assert!(is_user(name) && !is_password(name), "{name}");
        }
        for name in ["csrfmiddlewaretoken", "_xsrf", "sectok", "loginToken", "user_token"] {
            assert!(is_token(name) && !is_user(name), "{name}");
        }
    }

    #[test]
    fn ways_are_told_by_their_names() {
        for path in ["/logout", "/doku.php?do=logoff", "/auth/revoke", "/users/sign_out", "/Sign-Out"] {
            assert!(is_way_out(path) && !is_way_in(path), "{path}");
        }
        assert!(is_way_in("/api/login") && is_way_in("signin") && is_way_in("/api/auth") && is_way_in("/session"));
        assert!(["/wiki/start", "/authors", "/designing"].into_iter().all(|path| !is_way_in(path)));
        assert!(is_who_am_i("/api/me") && is_who_am_i("/api/user?x") && !is_who_am_i("/api/memory"));
    }

    #[test]
    fn outcomes_are_told_from_what_is_the_users_own() {
        assert!(["ok", "/ok", "/data/success", "Success", "/loggedIn"].into_iter().all(is_outcome));
        assert!(!["/admin", "dark", "/user/active", "token"].into_iter().any(is_outcome));
    }

    #[test]
    fn words_are_short_and_plain() {
        assert!(is_word("login") && is_word("do_it") && !is_word("") && !is_word("a8f3") && !is_word("two words"));
        assert!(["Special:UserLogin", "/logout", "user.login", "a_b"].into_iter().all(is_place));
        assert!(["", "http://a.example", "a@b", "x81", "two words"].into_iter().all(|text| !is_place(text)));
        assert!(["returnto", "return_url", "next", "redirect_to", "_url"].into_iter().all(is_way_back));
        assert!(["remember_me", "auth[rememberMe]", "/a/language", "submit"].into_iter().all(is_setting));
        assert!(["user", "login", "member", "account"].into_iter().all(|name| !is_setting(name)));
        assert!(["do", "title", "page", "view", "nextpage2"].into_iter().all(|name| !is_way_back(name)));
    }
}

//! The `Content-Security-Policy` of our pages: no script, no frame, and only the style that the templates hold.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// Compiles the policy from finished pages.
///
/// `hosts` are those of the routes: browsers apply `form-action` also to the redirect that follows a form, and
/// sign-in may lead to any of them. `own_files` lets replaced templates refer to style sheets, fonts and pictures
/// of the same origin.
pub(super) fn compile<'p, 'h>(
    pages: impl IntoIterator<Item = &'p str>,
    hosts: impl IntoIterator<Item = &'h str>,
    own_files: bool,
) -> HeaderValue {
    let styles: BTreeSet<String> = pages.into_iter().flat_map(style_elements).map(source).collect();
    let styles = styles.into_iter().collect::<Vec<_>>().join(" ");
    let targets: String = hosts.into_iter().filter(|host| is_plain(host)).map(|host| format!(" {host}")).collect();
    let (style_files, other_files) = match own_files {
        true => (" 'self'", "; img-src 'self' data:; font-src 'self'"),
        false => ("", ""),
    };
    let policy = format!(
        "default-src 'none'; style-src {styles}{style_files}{other_files}; form-action 'self'{targets}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    // The parts are base64, keywords and checked host names; should one ever be odd, the policy is the strictest.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// The text of each `<style>` element.
fn style_elements(page: &str) -> impl Iterator<Item = &str> {
    page.split("<style>").skip(1).filter_map(|rest| rest.split_once("</style>").map(|(style, _)| style))
}

/// A browser hashes what its parser made of the text, and the parser makes one line feed of CR LF.
fn source(style: &str) -> String {
    let style = style.replace("\r\n", "\n");
    format!("'sha256-{}'", STANDARD.encode(digest::digest(&digest::SHA256, style.as_bytes())))
}

/// A name such as `wiki.example.com` or `*.example.com`, which cannot break out of its directive.
fn is_plain(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_element_is_allowed_once_by_its_hash() {
        let pages = ["<style>a{}</style>", "<style>a{}</style><p><style>b{}</style>"];
        let policy = compile(pages, [], false);
        let policy = policy.to_str().unwrap();
        // printf 'a{}' | openssl dgst -sha256 -binary | base64
        assert!(policy.contains("'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='"), "{policy}");
        assert_eq!(policy.matches("sha256-").count(), 2, "{policy}");
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn line_ends_of_another_system_hash_like_ours() {
        assert_eq!(source("a{}\r\nb{}"), source("a{}\nb{}"));
    }

    #[test]
    fn a_form_may_lead_to_the_routes_hosts_and_no_odd_name_gets_in() {
        let policy = compile([], ["wiki.example.com", "*.example.org", "*", "", "x; script-src *", "a b"], true);
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("; form-action 'self' wiki.example.com *.example.org; frame-ancestors"), "{policy}");
    }
}

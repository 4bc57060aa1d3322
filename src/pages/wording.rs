//! What the error page says for each status: to a reader who did nothing wrong, in plain words.

use serde::Serialize;

/// Title, explanation, and what can be done next.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Wording {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    /// Trying again may help.
    pub(super) retry: bool,
    /// The start page may help.
    pub(super) start: bool,
}

/// For a user whom the app behind does not take.
pub(super) const NOT_LET_IN: Wording = Wording {
    title: "The application did not let you in",
    text: "It did not accept the name and password that it was given for you. If they are those you signed in with \
           here, sign out and sign in with the ones that the application knows; else ask the people who run this site.",
    retry: true,
    start: false,
};

/// Words for `status`; one that is not listed gets those of its class.
pub(super) fn for_status(status: u16) -> Wording {
    let (title, text) = match status {
        403 => ("No access", "This page is not open to you. If you need it, ask the people who run this site."),
        404 => ("Page not found", "There is nothing at this address. It may have moved, or it was mistyped."),
        405 => ("Not possible here", "This address does not take that kind of request."),
        408 => ("That took too long", "The request did not arrive in time, perhaps because of a slow connection."),
        409 => {
            let text = "You are signed in with as many browsers as this site allows. Sign out in one of them, \
                        then try again.";
            ("Signed in elsewhere", text)
        }
        413 => ("Too large", "What you sent is larger than this site accepts. Try a smaller file."),
        414 => ("Address too long", "The address of this page is longer than this site accepts."),
        421 => ("Wrong place", "This server does not answer for that address. Check that it is spelled correctly."),
        429 => ("Too many requests", "There were many requests in a short time. Please wait a little."),
        431 => {
            let text = "The browser sent more than this site accepts, most often because of too many cookies. \
                        Deleting the cookies of this site usually helps.";
            ("Too many cookies", text)
        }
        502 => {
            let text = "The application behind this page could not be reached, or gave no proper answer. \
                        It may be restarting.";
            ("The application is not answering", text)
        }
        503 => ("Not available right now", "This site cannot answer at the moment. Please try again shortly."),
        504 => ("The application is too slow", "The application behind this page did not answer in time."),
        400..=499 => ("Request not understood", "The request was not one that this site can answer."),
        _ => ("Something went wrong", "This is not your fault. The problem has been noted in the log of this site."),
    };
    Wording { title, text, retry: matches!(status, 408 | 409 | 429 | 500..), start: matches!(status, 403..=405) }
}

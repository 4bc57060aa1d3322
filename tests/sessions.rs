use crate::support::{App, TestGateway, ok};

#[test]
fn signing_in_leads_to_the_app_which_is_told_who_it_is() {
    let app = App::echoing();
    let gateway = TestGateway::before(&app);
    let mut browser = gateway.browser();
    let asked = browser.get("/page?x=1");
    assert_eq!((asked.status, asked.header("location")), (302, Some("/.session/login?rd=/page%3Fx%3D1")));
    let answer = browser.sign_in_to("/page?x=1", "Ann", crate::support::PASSWORD);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/page?x=1")));
    assert_eq!(browser.get("/page?x=1").status, 200);
    let seen = app.last();
    assert_eq!(seen.header("remote-user"), Some("ann"));
    assert_eq!(seen.header("remote-groups"), Some("staff,wiki"));
    assert_eq!(seen.header("cookie"), None);
    drop(ok(""));
}

//! What is posted, by page and configuration, and what is never sent.

use super::*;

fn login(yaml: &str) -> Login {
    let sign_on: schema::SignOn = serde_yaml(yaml);
    Login::compile(&sign_on).unwrap()
}

/// By the way that configurations take.
fn serde_yaml(yaml: &str) -> schema::SignOn {
    let text = format!(
        "login: {{ form: {{ users: [{{ name: a, password: $2b$x }}] }} }}\n\
         routes: [{{ upstream: http://a, cookies: vault, sign_on: {{ {yaml} }} }}]\n"
    );
    let loaded = crate::config::parse(&text, "c.yaml", &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    loaded.config.routes[0].sign_on.clone().unwrap()
}

fn ann() -> Typed {
    Typed { user: "ann".to_owned().into(), password: "p&{user}=+ä".to_owned().into() }
}

fn post(yaml: &str, html: Option<&str>) -> Result<(String, String), NoLogin> {
    let identity = Identity { email: Some("ann@example.com".into()), ..Identity::named("ann") };
    let own = |url: &[u8]| url.starts_with(b"/").then(|| url.to_vec());
    let posted = login(yaml).post(html.map(|html| ("/login?next=/", html)), &ann(), &identity, own)?;
    Ok((posted.target, String::from_utf8(posted.body.to_vec()).unwrap()))
}

const FORM: &str = "<form action=in><input type=hidden name=t value='1&amp;2'><input name=u value=x><input name=p type=password></form>";
const TYPED: &str = "p%26%7Buser%7D%3D%2B%C3%A4";

#[test]
fn name_and_password_go_into_the_fields_that_take_them() {
    let want = ("/in".to_owned(), format!("t=1%262&u=ann&p={TYPED}"));
    assert_eq!(post("login_page: /login", Some(FORM)), Ok(want));
}

#[test]
fn fields_that_are_named_replace_the_forms_own_and_a_value_is_no_template() {
    let (target, body) =
        post("login_page: /login, action: /there, fields: { t: x, m: '{email}', w: '{password}' }", Some(FORM))
            .unwrap();
    assert_eq!((target.as_str(), body.as_str()), ("/there", format!("t=x&u=x&m=ann%40example.com&w={TYPED}").as_str()));
}

#[test]
fn json_is_sent_as_one_object() {
    let (target, body) = post("action: /api/login, json: true", None).unwrap();
    assert_eq!(target, "/api/login");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json, serde_json::json!({ "username": "ann", "password": "p&{user}=+ä" }));
}

/// SECURITY: whoever can write into the page cannot send the credentials anywhere else.
#[test]
fn a_form_that_leads_to_another_host_gets_nothing() {
    for page in [
        FORM.replace("action=in", "action=http://evil.example/in"),
        FORM.replace("action=in", "action='//evil.example/in'").replace("//", "/\\"),
        format!("<base href=http://evil.example/>{FORM}"),
        FORM.replace("action=in", "action='javascript:x'"),
    ] {
        assert_eq!(post("login_page: /login", Some(&page)), Err(NoLogin::Elsewhere), "{page}");
    }
    let pinned = format!("<base href=http://evil.example/>{FORM}");
    assert_eq!(post("login_page: /login, action: /in", Some(&pinned)).unwrap().0, "/in");
}

#[test]
fn a_page_without_a_login_form_gets_nothing() {
    assert_eq!(post("login_page: /login", Some("<form><input name=q></form>")), Err(NoLogin::Form));
    assert_eq!(post("login_page: /login, form: other", Some(FORM)), Err(NoLogin::Form));
    let only_password = "<form><input name=p type=password></form>";
    assert_eq!(post("login_page: /login", Some(only_password)), Err(NoLogin::Fields));
    assert!(post("login_page: /login, fields: { pin: '{password}' }", Some(only_password)).is_ok());
}

#[test]
fn basic_says_name_and_password_and_shows_neither() {
    let value = basic(&Typed { user: "Aladdin".to_owned().into(), password: "open sesame".to_owned().into() }).unwrap();
    // The example of RFC 7617 §2.
    assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(format!("{value:?}"), "Sensitive");
    assert_eq!(basic(&Typed { user: "a:b".to_owned().into(), password: String::new().into() }), None);
}

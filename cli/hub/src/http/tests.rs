//! Tests of the module above.

use super::*;

fn uri(text: &str) -> Uri {
    text.parse().expect("an address")
}

#[test]
fn redirects_stay_outside_and_encrypted() {
    let (hub, from) = (uri("https://hub.example"), uri("https://hub.example/a/b"));
    let to = |location: &str| follow(&hub, &from, location);
    assert_eq!(
        to("/c/d?x=1").as_ref().map(Uri::to_string),
        Ok("https://hub.example/c/d?x=1".into())
    );
    assert!(to("https://cdn.example/x").is_ok() && to("//cdn.example/x").is_ok());
    let refused = [
        "http://cdn.example/x",
        "ftp://cdn.example",
        "file:///etc/passwd",
        "x/y",
        "",
        "https://127.0.0.1/x",
        "https://[::1]/",
        "https://10.0.0.1",
        "https://192.168.1.1:80/",
        "https://169.254.169.254/meta",
        "https://localhost./",
        "https://[::ffff:10.0.0.1]/",
        "https://me:secret@cdn.example/",
        "https://",
        "https://printer.local/",
        "https://2130706433/",
        "https://127.1/",
        "https://0x7f.0x1/",
        "https://:[f:fff:10.0.0]/",
        "https://[fe80::1%25eth0]/",
        "https://:443/",
    ];
    for location in refused {
        assert!(to(location).is_err(), "{location}");
    }
    let home = uri("http://127.0.0.1:8080");
    assert!(
        follow(&home, &home, "http://127.0.0.1:9090/x").is_ok()
            && follow(&home, &home, "https://x.example/").is_ok()
    );
}

#[test]
fn the_token_is_for_one_origin() {
    let hub = uri("https://hub.example");
    for same in ["https://hub.example:443/x", "https://HUB.example/x"] {
        assert!(same_origin(&hub, &uri(same)), "{same}");
    }
    for other in [
        "http://hub.example/x",
        "https://hub.example:444/x",
        "https://cdn.hub.example/x",
        "https://hub.example.org",
    ] {
        assert!(!same_origin(&hub, &uri(other)), "{other}");
    }
}

#[test]
fn the_token_is_encrypted_or_stays_here() {
    for may in [
        "https://hub.example/x",
        "http://127.0.0.1:8080",
        "http://127.3.2.1",
        "http://localhost:80/x",
        "http://[::1]:80",
        "http://[::ffff:127.0.0.1]/",
    ] {
        assert!(may_have_token(&uri(may)), "{may}");
    }
    for may_not in [
        "http://hub.example",
        "http://10.0.0.1",
        "http://192.168.1.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://0.0.0.0",
        "http://127.1",
        "http://[::2]/",
        "http://printer.local",
    ] {
        assert!(!may_have_token(&uri(may_not)), "{may_not}");
    }
}

#[test]
fn paths_are_escaped() {
    assert_eq!(
        escaped("a b/c#?%ä.gguf", true),
        "a%20b/c%23%3F%25%C3%A4.gguf"
    );
    assert_eq!(escaped("refs/pr/1", false), "refs%2Fpr%2F1");
}

#[test]
fn patience_ends() {
    let mut patience = Patience::default();
    let mut tries = 1;
    let now = || Failure::Passing {
        cause: "busy".into(),
        pause: Some(Duration::ZERO),
    };
    while patience.wait(now(), "x", &|| false).is_ok() {
        tries += 1;
    }
    assert_eq!(tries, MOST_TRIES);
    let long = Failure::Passing {
        cause: "busy".into(),
        pause: Some(Duration::from_secs(3600)),
    };
    let said = Patience::default()
        .wait(long, "x", &|| false)
        .expect_err("too long")
        .to_string();
    assert!(said.contains("3600 s"), "{said}");
    assert!(matches!(
        Patience::default().wait(Failure::passing("x"), "x", &|| true),
        Err(HubError::Stopped)
    ));
}

//! The hub's errors: closed and missing models, servers that fail, and bytes
//! that are not those promised.

use serde_json::json;

use super::{Person, REPO, noise, two_quants};
use godwit_tests::hub_server::{Answer, Hub, MAIN};

#[test]
fn closed_and_missing_models_are_explained() {
    let closed = |status: u16, code: &'static str| {
        Hub::with(REPO, &two_quants(), move |request, answer| {
            match request.path.contains("/resolve/") {
                true => Answer::status(status).with("X-Error-Code", code),
                false => answer,
            }
        })
    };
    for (status, code) in [(401, "GatedRepo"), (403, "GatedRepo"), (401, "")] {
        let hub = closed(status, code);
        let page = format!("{}/{REPO}", hub.endpoint());
        Person::at(&hub).fails(&["pull", REPO], 3, &["not open to all", &page, "HF_TOKEN"]);
        let mut nobody = Person::at(&hub);
        nobody
            .variables
            .retain(|(variable, _)| *variable != "HF_TOKEN");
        hub.requests();
        nobody.fails(
            &["run", REPO, "-p", "x"],
            3,
            &["accept its terms", "set HF_TOKEN"],
        );
        assert!(
            hub.requests()
                .iter()
                .all(|request| request.authorization.is_none())
        );
    }
    let hub = Hub::start(REPO, &two_quants());
    let person = Person::at(&hub);
    person.fails(&["pull", "godwit/none"], 3, &["no godwit/none", "spelling"]);
    person.fails(&["inspect", &format!("{REPO}@v9")], 3, &["@v9", "revision"]);
    let hub = closed(404, "EntryNotFound");
    Person::at(&hub).fails(
        &["pull", REPO],
        3,
        &["no tiny-Q4_K_M.gguf of godwit/Tiny-GGUF"],
    );
}

#[test]
fn busy_servers_are_asked_again_but_not_for_ever() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match (request.cdn, request.earlier) {
            (false, 0) => Answer::status(429).with("Retry-After", 0),
            (true, 0) => Answer::status(500),
            (true, 1) => Answer::status(403),
            _ => answer,
        }
    });
    Person::at(&hub).pulls(REPO);
    let hub = Hub::with(REPO, &two_quants(), |_, _| {
        Answer::status(503).with("Retry-After", 0)
    });
    Person::at(&hub).fails(&["pull", REPO], 1, &["503", "tried 6 times"]);
    assert_eq!(hub.requests().len(), 6);
    let hub = Hub::with(REPO, &two_quants(), |_, _| {
        Answer::status(429).with("Retry-After", 3600)
    });
    Person::at(&hub).fails(&["pull", REPO], 1, &["429", "3600 s"]);
    let hub = Hub::with(REPO, &two_quants(), |_, _| Answer::status(418));
    Person::at(&hub).fails(&["pull", REPO], 1, &["418"]);
    assert_eq!(hub.requests().len(), 1);
}

/// A network that answers everything with a page of its own costs a try, not what was downloaded.
#[test]
fn pages_in_the_place_of_a_file_leave_what_is_there() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match (request.cdn, request.earlier) {
            (true, 0) => answer.cut(100_000),
            (true, 1) => Answer::status(200).body("<html>Please log in.</html>"),
            _ => answer,
        }
    });
    let person = Person::at(&hub);
    person.fails(
        &["pull", REPO],
        3,
        &["tiny-Q4_K_M.gguf", "27 bytes", "100000 that are there stay"],
    );
    let path = person.pulls(REPO);
    assert_eq!(std::fs::read(path).expect("the file"), noise(300_000, 1));
    assert_eq!(hub.ranges(), [None, Some(100_000), Some(100_000)]);
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    /// The defect of an answer.
    type Change = fn(Answer) -> Answer;
    let wrong = |change: Change| {
        Hub::with(REPO, &two_quants(), move |request, answer| {
            if request.cdn { change(answer) } else { answer }
        })
    };
    let cases: [(Change, &str); 4] = [
        (|answer| answer.body(noise(300_000, 9)), "checksum"),
        (
            |answer| answer.body(noise(299_999, 1)),
            "299999 bytes long, and should be 300000",
        ),
        (|answer| answer.body(noise(300_001, 1)), "300001 bytes long"),
        // A length that is not said, and too many bytes.
        (
            |answer| {
                let body = [b"493e1\r\n", &noise(300_001, 1)[..], b"\r\n0\r\n\r\n"].concat();
                answer.body(body).with("Transfer-Encoding", "chunked")
            },
            "longer than 300000",
        ),
    ];
    for (change, cause) in cases {
        let hub = wrong(change);
        let person = Person::at(&hub);
        person.fails(
            &["pull", REPO],
            3,
            &["tiny-Q4_K_M.gguf of godwit/Tiny-GGUF", cause, "removed"],
        );
        assert!(person.blobs().is_empty(), "{cause}: {:?}", person.blobs());
        person.fails(&["inspect", REPO], 3, &[cause]);
    }
    // Small files are checked as git knows them.
    let repository = godwit_tests::repository::Files::tiny();
    let files: Vec<_> = repository
        .files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.clone()))
        .collect();
    let hub = Hub::with(REPO, &files, |request, mut answer| {
        if request.path.ends_with("config.json") {
            answer.body[0] ^= 1;
        }
        answer
    });
    Person::at(&hub).fails(&["pull", REPO], 3, &["config.json", "checksum"]);
}

#[test]
fn a_damaged_part_does_not_become_a_model() {
    let hub = Hub::with(REPO, &two_quants(), |request, answer| {
        match (request.cdn, request.earlier) {
            (true, 0) => answer.body(noise(300_000, 7)).cut(100_000),
            _ => answer,
        }
    });
    let person = Person::at(&hub);
    person.fails(&["pull", REPO], 3, &["checksum"]);
    person.pulls(REPO);
    assert_eq!(hub.ranges(), [None, Some(100_000), None]);
}

#[test]
fn lists_that_lie_are_refused() {
    let listed = |list: serde_json::Value| {
        let body = list.to_string();
        Hub::with(REPO, &two_quants(), move |request, answer| {
            match request.path.starts_with("/api/") {
                true => Answer::status(200).body(body.clone()),
                false => answer,
            }
        })
    };
    let file = |path: &str, size: u64, hash: &str| {
        let lfs = json!({ "sha256": hash, "size": size });
        json!({ "sha": MAIN, "siblings": [{ "rfilename": path, "size": size, "lfs": lfs }] })
    };
    let hash = "0".repeat(64);
    let cases = [
        (file("../../../evil.gguf", 5, &hash), "no safe name"),
        (file("/tmp/evil.gguf", 5, &hash), "no safe name"),
        (file("a\\..\\evil.gguf", 5, &hash), "no safe name"),
        (file("x.gguf", 5, "../../evil"), "no hash"),
        (json!({ "sha": "../../x", "siblings": [] }), "no commit"),
        (json!({ "sha": MAIN }), "holds no model"),
        (json!("hello"), "no list of files"),
    ];
    for (list, cause) in cases {
        let hub = listed(list);
        let person = Person::at(&hub);
        person.fails(&["pull", REPO], 3, &[cause]);
        assert!(!person.cache().exists(), "nothing was written for {cause}");
    }
    // A download that no disk has room for is not begun.
    let hub = listed(file("x.gguf", 1 << 60, &hash));
    Person::at(&hub).fails(&["pull", REPO], 1, &["to be downloaded", "left"]);
    assert!(hub.ranges().is_empty());

    let hub = Hub::with(REPO, &two_quants(), |_, _| {
        Answer::status(200).body(vec![b'['; 20 << 20])
    });
    Person::at(&hub).fails(&["pull", REPO], 3, &["longer than 16 MB"]);
}

#[test]
fn redirects_lead_nowhere_bad() {
    let to = |location: &'static str| {
        Hub::with(REPO, &two_quants(), move |_, _| {
            Answer::status(302).with("Location", location)
        })
    };
    let hub = to("/again");
    Person::at(&hub).fails(&["pull", REPO], 3, &["more than 10 times"]);
    assert_eq!(hub.requests().len(), 11);
    for location in ["file:///etc/passwd", "ftp://x.example/", "x", ""] {
        Person::at(&to(location)).fails(&["pull", REPO], 3, &["refused", "redirects to"]);
    }
    let hub = Hub::with(REPO, &two_quants(), |_, _| Answer::status(301));
    Person::at(&hub).fails(&["pull", REPO], 3, &["redirects to nowhere"]);
}

#[test]
fn variables_that_make_no_sense_are_named() {
    let hub = Hub::start(REPO, &two_quants());
    Person::at(&hub).with("HF_ENDPOINT", "hub.example").fails(
        &["pull", REPO],
        2,
        &["HF_ENDPOINT", "hub.example"],
    );
    Person::at(&hub)
        .with("HF_TOKEN", "a b")
        .fails(&["list"], 2, &["HF_TOKEN"]);
    // No such host, for certain; and a path that was mistyped looks like a name.
    let nowhere = Person::at(&hub).with("HF_ENDPOINT", "http://hub.invalid");
    nowhere.fails(
        &["inspect", "models/typo"],
        1,
        &[
            "error: `models/typo` is not downloaded, and the hub can't be reached.",
            "hub.invalid",
            "is there a network?",
        ],
    );
    // No server listens there.
    Person::at(&hub)
        .with("HF_ENDPOINT", "http://127.0.0.1:1")
        .fails(&["pull", REPO], 1, &["127.0.0.1", "tried 6 times"]);
}

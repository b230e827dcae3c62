//! Every form of the header against every state of the keys.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::test::TestRequest;
use actix_web::{HttpRequest, HttpResponse};
use gatewayz_admin_auth::{AdminKeys, Guard, Problem, Published};

use crate::support::{KEY, KEY_ID, PUBLIC_KEY, WRONG_KEY, attempts, bearer, call, count, guard, send};

const NO_ERROR: &str = r#"Bearer realm="gatewayz-admin""#;
const INVALID_TOKEN: &str = r#"Bearer realm="gatewayz-admin", error="invalid_token""#;

struct Form {
    name: &'static str,
    request: fn() -> TestRequest,
    reason: &'static str,
    challenge: &'static str,
}

/// Every form that is refused when keys work.
const FORMS: [Form; 15] = [
    Form {
        name: "no header",
        request: || call("/admin/1", None),
        reason: "missing_key",
        challenge: NO_ERROR,
    },
    Form {
        name: "key in another header",
        request: || call("/admin/1", None).append_header(("x-api-key", KEY)),
        reason: "missing_key",
        challenge: NO_ERROR,
    },
    Form {
        name: "key in a cookie",
        request: || call("/admin/1", None).append_header(("cookie", format!("access_token={KEY}"))),
        reason: "missing_key",
        challenge: NO_ERROR,
    },
    Form {
        name: "empty header",
        request: || call("/admin/1", Some("")),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "no token",
        request: || call("/admin/1", Some("Bearer")),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "empty token",
        request: || call("/admin/1", Some("Bearer ")),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "key without a scheme",
        request: || call("/admin/1", Some(KEY)),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "another scheme",
        request: || call("/admin/1", Some(&format!("Basic {KEY}"))),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "two tokens",
        request: || call("/admin/1", Some(&format!("Bearer {KEY} {KEY}"))),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "bytes outside ASCII",
        request: || {
            let value = HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap();
            call("/admin/1", None).append_header((AUTHORIZATION, value))
        },
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "the right header twice",
        request: || call("/admin/1", Some(&bearer(KEY))).append_header((AUTHORIZATION, bearer(KEY))),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "key in the query",
        request: || call(&format!("/admin/1?access_token={KEY}"), None),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "key in the query and the header",
        request: || call(&format!("/admin/1?a=b&access_token={KEY}"), Some(&bearer(KEY))),
        reason: "malformed",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "wrong key",
        request: || call("/admin/1", Some(&bearer(WRONG_KEY))),
        reason: "wrong_key",
        challenge: INVALID_TOKEN,
    },
    Form {
        name: "token above 512 bytes",
        request: || call("/admin/1", Some(&bearer(&"a".repeat(513)))),
        reason: "too_long",
        challenge: INVALID_TOKEN,
    },
];

async fn check_refused(guard: &Guard) {
    for form in FORMS {
        let before = count(guard, "refused", form.reason);

        let answer = send(guard, (form.request)()).await;

        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", form.name);
        assert_eq!(
            answer.header(&WWW_AUTHENTICATE),
            Some(form.challenge),
            "{}",
            form.name
        );
        assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"), "{}", form.name);
        assert_eq!(
            answer.header(&CONTENT_TYPE),
            Some("application/problem+json"),
            "{}",
            form.name
        );
        assert!(
            answer.body.contains(r#""status":401"#),
            "{}: {}",
            form.name,
            answer.body
        );
        assert_eq!(count(guard, "refused", form.reason), before + 1, "{}", form.name);
    }
}

async fn check_disabled(guard: &Guard, reason: &str, own_key: &str) {
    let forms = FORMS.iter().map(|form| (form.request)());
    for request in forms.chain([call("/admin/1", Some(&bearer(own_key)))]) {
        let before = count(guard, "disabled", reason);

        let answer = send(guard, request).await;

        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            answer.body.contains("admin endpoints are disabled: "),
            "{}",
            answer.body
        );
        assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
        assert_eq!(
            (answer.header(&WWW_AUTHENTICATE), answer.header(&RETRY_AFTER)),
            (None, None)
        );
        assert_eq!(count(guard, "disabled", reason), before + 1);
    }
}

#[actix_web::test]
async fn with_a_key_every_other_form_is_401() {
    check_refused(&guard(&[KEY], Published::Refused)).await;
}

#[actix_web::test]
async fn with_the_published_key_in_local_every_other_form_is_401() {
    check_refused(&guard(&[PUBLIC_KEY], Published::Accepted)).await;
}

#[actix_web::test]
async fn without_a_key_every_form_is_503() {
    check_disabled(&guard(&[], Published::Refused), "not_configured", KEY).await;
    check_disabled(&guard(&["  "], Published::Accepted), "not_configured", KEY).await;
}

#[actix_web::test]
async fn with_the_published_key_in_production_every_form_is_503() {
    check_disabled(
        &guard(&[PUBLIC_KEY], Published::Refused),
        "published_key",
        PUBLIC_KEY,
    )
    .await;
    check_disabled(
        &guard(&[KEY, PUBLIC_KEY], Published::Refused),
        "published_key",
        KEY,
    )
    .await;
}

#[actix_web::test]
async fn a_right_key_reaches_the_handler_under_its_id() {
    let guard = guard(&[KEY, WRONG_KEY], Published::Refused);
    for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
        let answer = send(&guard, call("/admin/1", Some(&format!("{scheme} {KEY}")))).await;

        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, KEY_ID));
        assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
    }
    assert_eq!(count(&guard, "accepted", "valid_key"), 4);
}

#[actix_web::test]
async fn the_published_key_works_in_local() {
    let guard = guard(&[PUBLIC_KEY], Published::Accepted);

    let answer = send(&guard, call("/admin/1", Some(&bearer(PUBLIC_KEY)))).await;

    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "aed36cf8")
    );
}

#[actix_web::test]
async fn the_guard_decides_before_the_router() {
    let guard = guard(&[KEY], Published::Refused);

    for request in [
        call("/nowhere", None),
        call("/admin/1", None).method(actix_web::http::Method::DELETE),
    ] {
        assert_eq!(send(&guard, request).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = send(&guard, call("/nowhere", Some(&bearer(KEY)))).await;

    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
}

#[actix_web::test]
async fn an_open_route_is_left_alone_whatever_the_header_and_the_keys() {
    for guard in [guard(&[KEY], Published::Refused), guard(&[], Published::Refused)] {
        for value in [
            None,
            Some("Basic x"),
            Some(&*bearer(WRONG_KEY)),
            Some(&*bearer(KEY)),
        ] {
            let answer = send(&guard, call("/open", value)).await;

            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "nobody"));
            assert_eq!(answer.header(&CACHE_CONTROL), None);
        }
        assert_eq!(attempts(&guard), 0);
    }
}

#[actix_web::test]
async fn an_optional_route_serves_anyone_and_knows_an_admin() {
    let guard = guard(&[KEY], Published::Refused);
    for (value, expected) in [
        (None, "nobody"),
        (Some("Basic x"), "nobody"),
        (Some(&*bearer(WRONG_KEY)), "nobody"),
        (Some(&*bearer(KEY)), KEY_ID),
    ] {
        let answer = send(&guard, call("/optional", value)).await;

        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, expected));
        assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
    }
    assert_eq!(attempts(&guard), 2);
    assert_eq!(count(&guard, "refused", "wrong_key"), 1);
}

#[actix_web::test]
async fn an_optional_route_serves_anyone_when_admin_calls_are_disabled() {
    let guard = guard(&[PUBLIC_KEY], Published::Refused);

    let answer = send(&guard, call("/optional", Some(&bearer(PUBLIC_KEY)))).await;

    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "nobody"));
}

#[actix_web::test]
async fn a_percent_encoded_path_is_guarded_like_the_path_it_stands_for() {
    let open_but_admin = |request: &actix_web::dev::ServiceRequest| {
        if gatewayz_admin_auth::routed_path(request).starts_with("/admin/") {
            gatewayz_admin_auth::Access::Admin
        } else {
            gatewayz_admin_auth::Access::Open
        }
    };
    let keys = AdminKeys::new([KEY.into()], "", Published::Refused).unwrap();
    let guard = Guard::new(keys, open_but_admin);

    let refused = send(&guard, call("/%61dmin/1", None)).await;
    let accepted = send(&guard, call("/%61dmin/1", Some(&bearer(KEY)))).await;

    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        (accepted.status, accepted.body.as_str()),
        (StatusCode::OK, KEY_ID)
    );
}

#[actix_web::test]
async fn a_handler_that_takes_the_identity_is_closed_even_when_the_policy_is_wrong() {
    let guard = guard(&[KEY], Published::Refused);

    for value in [None, Some(&*bearer(KEY))] {
        let answer = send(&guard, call("/open/mistake", value)).await;

        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header(&WWW_AUTHENTICATE), Some(NO_ERROR));
    }
}

#[actix_web::test]
async fn refusals_are_written_by_the_service_but_keep_status_and_headers() {
    let write = |_: &HttpRequest, _: StatusCode, problem: Problem| {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "public"))
            .body(problem.detail)
    };
    let guard = guard(&[KEY], Published::Refused)
        .with_problem(write)
        .with_realm("other");

    let answer = send(&guard, call("/admin/1", None)).await;

    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(&WWW_AUTHENTICATE), Some(r#"Bearer realm="other""#));
    assert!(answer.body.starts_with("an admin key is required"));
}

#[actix_web::test]
async fn no_refusal_repeats_what_was_sent() {
    let guard = guard(&[KEY], Published::Refused);
    for form in FORMS {
        let answer = send(&guard, (form.request)()).await;

        for secret in [KEY, WRONG_KEY, "aaaaaaaa"] {
            assert!(!answer.body.contains(secret), "{}", form.name);
            assert!(!format!("{:?}", answer.headers).contains(secret), "{}", form.name);
        }
    }
}

#[test]
fn the_debug_output_of_a_guard_holds_no_key() {
    let shown = format!("{:?}", guard(&[KEY], Published::Refused));

    assert!(shown.contains(KEY_ID));
    assert!(!shown.contains(KEY), "{shown}");
}

#[actix_web::test]
async fn replaced_keys_hold_for_every_clone_of_the_guard() {
    let guard = guard(&[KEY], Published::Refused);
    let clone = guard.clone();
    let status = async |key: &str| send(&clone, call("/admin/1", Some(&bearer(key)))).await.status;
    assert_eq!(status(KEY).await, StatusCode::OK);

    guard.replace_keys(AdminKeys::new([WRONG_KEY.into()], "", Published::Refused).unwrap());

    assert_eq!(status(WRONG_KEY).await, StatusCode::OK);
    assert_eq!(status(KEY).await, StatusCode::UNAUTHORIZED);
    assert_eq!(count(&guard, "accepted", "valid_key"), 2);

    guard.replace_keys(AdminKeys::new([], "", Published::Refused).unwrap());

    assert_eq!(status(WRONG_KEY).await, StatusCode::SERVICE_UNAVAILABLE);
}

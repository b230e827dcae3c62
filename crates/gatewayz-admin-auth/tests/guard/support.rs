//! A service with open, optional and admin routes behind a guard, and calls to it.

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use gatewayz_admin_auth::{Access, AdminIdentity, AdminKeys, Guard, Published, routed_path};

pub(crate) const KEY: &str = "gw_live_0f9aKq2bXz71LmVtRw83Yd";
pub(crate) const KEY_ID: &str = "8bed0e09";
pub(crate) const WRONG_KEY: &str = "gw_live_pW4sTn6cUe05GhJkBv92Qi";
/// In parts, so that a search of the repository for the published key finds only where it is in use.
pub(crate) const PUBLIC_KEY: &str = concat!("gw_live_wTfpLJ5VB28q", "MXpOAhr7Uw");

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn guard(plain: &[&str], published: Published) -> Guard {
    let keys = AdminKeys::new(plain.iter().map(|key| (*key).into()), "", published).unwrap();
    Guard::new(keys, |request: &ServiceRequest| match routed_path(request) {
        "/open" | "/open/mistake" => Access::Open,
        "/optional" => Access::Optional,
        _ => Access::Admin,
    })
}

/// A call with this `Authorization` value, from one fixed peer.
pub(crate) fn call(uri: &str, authorization: Option<&str>) -> TestRequest {
    let request = TestRequest::with_uri(uri).peer_addr("192.0.2.1:1000".parse().unwrap());
    match authorization {
        Some(value) => request.append_header((AUTHORIZATION, value)),
        None => request,
    }
}

pub(crate) fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

pub(crate) fn count(guard: &Guard, outcome: &str, reason: &str) -> u64 {
    let counts = guard.stats().snapshot();
    counts
        .iter()
        .find(|pair| pair.outcome == outcome && pair.reason == reason)
        .unwrap()
        .count
}

pub(crate) fn attempts(guard: &Guard) -> u64 {
    guard.stats().snapshot().iter().map(|pair| pair.count).sum()
}

pub(crate) fn routes(settings: &mut web::ServiceConfig) {
    settings
        .route("/open", web::get().to(who))
        .route("/optional", web::get().to(who))
        .route("/open/mistake", web::get().to(admin))
        .route("/admin/{id}", web::get().to(admin))
        .route("/admin/{id}", web::post().to(admin));
}

async fn who(identity: Option<AdminIdentity>) -> String {
    identity.map_or_else(|| "nobody".to_owned(), |identity| identity.key_id.to_string())
}

async fn admin(identity: AdminIdentity) -> String {
    identity.key_id.to_string()
}

pub(crate) async fn send(guard: &Guard, request: TestRequest) -> Answer {
    let service = init_service(App::new().configure(routes).wrap(guard.clone())).await;
    let response = call_service(&service, request.to_request()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = String::from_utf8(read_body(response).await.to_vec()).unwrap();
    Answer {
        status,
        headers,
        body,
    }
}

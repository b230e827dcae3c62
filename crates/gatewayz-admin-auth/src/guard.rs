//! The actix-web middleware that stands before the admin endpoints.

use std::fmt;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk};

use crate::attempt::{Attempt, AuthStats};
use crate::audit;
use crate::credential::{self, Credential};
use crate::keys::{AdminKeys, MAX_KEY_BYTES};
use crate::peers::{Line, Peer, Peers};
use crate::refusal::{Answer, NO_STORE, Problem, Refusal, default_answer};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone; the guard does nothing.
    Open,
    /// Anyone, but a right key makes the caller known as [`AdminIdentity`]. Without one the call goes on
    /// unknown; a wrong key counts as a failure all the same.
    Optional,
    /// Only a caller with an admin key.
    Admin,
}

/// The caller of an admin route, in the request's extensions and as an extractor.
///
/// As an extractor it answers 401 when no guard has accepted a key, so that a handler which takes it is
/// never open by a mistake in the policy; `Option<AdminIdentity>` is for routes with
/// [`Access::Optional`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminIdentity {
    /// Which key: its id, never the key.
    pub key_id: Arc<str>,
}

impl FromRequest for AdminIdentity {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identity = request.extensions().get::<Self>().cloned();
        ready(identity.ok_or_else(|| {
            let answer = Refusal::MissingKey.answer(request, DEFAULT_REALM, &default_answer);
            InternalError::from_response("no admin key was accepted", answer).into()
        }))
    }
}

/// The path that the router will match, percent-decoded as the router does it.
///
/// A policy must look at this one: with [`ServiceRequest::path`] a client would reach `/admin` as
/// `/%61dmin`, unseen.
pub fn routed_path(request: &ServiceRequest) -> &str {
    request.match_info().as_str()
}

const DEFAULT_REALM: &str = "gatewayz-admin";

type Policy = dyn Fn(&ServiceRequest) -> Access + Send + Sync;
type Clock = dyn Fn() -> Instant + Send + Sync;

/// Lets admin calls through to their handlers and answers the others itself.
///
/// Build it once and clone it into each worker's `App::wrap`: the clones share keys, throttle and
/// counts. It decides on the connection's peer address and the headers alone, before routing and body,
/// and returns answers, never errors, so that the middlewares around it see the real status. It must be
/// outside (wrapped after) every middleware that changes the path. Each answer of a guarded route has
/// `Cache-Control: no-store`; an error that an inner middleware returns passes untouched.
#[derive(Clone)]
pub struct Guard {
    keys: Arc<ArcSwap<AdminKeys>>,
    policy: Arc<Policy>,
    answer: Arc<Answer>,
    clock: Arc<Clock>,
    realm: &'static str,
    peers: Arc<Mutex<Peers>>,
    stats: Arc<AuthStats>,
}

impl Guard {
    /// `policy` is asked for each request and should name what is open, so that anything else is admin;
    /// see [`routed_path`].
    pub fn new(keys: AdminKeys, policy: impl Fn(&ServiceRequest) -> Access + Send + Sync + 'static) -> Self {
        Self {
            keys: Arc::new(ArcSwap::from_pointee(keys)),
            policy: Arc::new(policy),
            answer: Arc::new(default_answer),
            clock: Arc::new(Instant::now),
            realm: DEFAULT_REALM,
            peers: Arc::default(),
            stats: Arc::default(),
        }
    }

    /// Writes the bodies of refusals in the service's own problem format. The guard sets the status
    /// and adds `WWW-Authenticate`, `Retry-After` and `Cache-Control`. Without it: type, title, status
    /// and detail as `application/problem+json`.
    #[must_use]
    pub fn with_problem(
        mut self,
        answer: impl Fn(&HttpRequest, StatusCode, Problem) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        self.answer = Arc::new(answer);
        self
    }

    /// The realm of `WWW-Authenticate`, instead of `gatewayz-admin`; without quotes and backslashes.
    #[must_use]
    pub fn with_realm(mut self, realm: &'static str) -> Self {
        self.realm = realm;
        self
    }

    /// The clock of the throttle and of the audit lines, instead of [`Instant::now`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Takes other keys for this guard and all its clones, at once: a call is judged by the old ones or by the new
    /// ones, and a key that is in both is never refused. Counts and throttle go on.
    pub fn replace_keys(&self, keys: AdminKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// Counts of all clones of this guard.
    pub fn stats(&self) -> Arc<AuthStats> {
        Arc::clone(&self.stats)
    }

    fn admit(&self, request: &ServiceRequest, access: Access) -> Result<Option<AdminIdentity>, Refusal> {
        let optional = access == Access::Optional;
        let keys = self.keys.load();
        if let Some(reason) = keys.disabled() {
            if optional {
                return Ok(None);
            }
            self.record_failure(Attempt::disabled(reason), request);
            return Err(Refusal::Disabled(reason));
        }

        let token = match credential::read(request.request()) {
            Credential::Missing | Credential::Malformed if optional => return Ok(None),
            Credential::Missing => {
                self.record_failure(Attempt::MissingKey, request);
                return Err(Refusal::MissingKey);
            }
            Credential::Malformed => {
                self.record_failure(Attempt::Malformed, request);
                return Err(Refusal::InvalidKey);
            }
            Credential::Token(token) => token.0,
        };

        if let Some(key_id) = keys.verify(token) {
            self.stats.record(Attempt::Accepted);
            audit::accepted(key_id, peer_address(request), &route(request));
            return Ok(Some(AdminIdentity {
                key_id: Arc::clone(key_id),
            }));
        }

        let now = (self.clock)();
        let allowed = self
            .peers()
            .record_wrong_key(Peer::new(peer_address(request)), now);
        let (attempt, refusal) = match allowed {
            Err(retry_after) => (Attempt::Throttled, Refusal::Throttled { retry_after }),
            Ok(()) if token.len() > MAX_KEY_BYTES => (Attempt::TooLong, Refusal::InvalidKey),
            Ok(()) => (Attempt::WrongKey, Refusal::InvalidKey),
        };
        self.record_failure(attempt, request);
        if optional { Ok(None) } else { Err(refusal) }
    }

    fn record_failure(&self, attempt: Attempt, request: &ServiceRequest) {
        self.stats.record(attempt);
        let address = peer_address(request);
        let line = self.peers().record_failure(Peer::new(address), (self.clock)());
        match line {
            Line::Write { suppressed } => audit::failed(attempt, address, &route(request), suppressed),
            Line::Suppress => self.stats.record_suppressed(),
        }
    }

    fn peers(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Guard")
            .field("keys", &**self.keys.load())
            .field("realm", &self.realm)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Of the TCP connection: a forwarding header is the client's own word.
fn peer_address(request: &ServiceRequest) -> Option<IpAddr> {
    request.peer_addr().map(|address| address.ip().to_canonical())
}

/// The route template, so that nothing a client chooses gets into the audit trail.
fn route(request: &ServiceRequest) -> String {
    request
        .resource_map()
        .match_pattern(routed_path(request))
        .unwrap_or_else(|| "unmatched".to_owned())
}

impl<S, B> Transform<S, ServiceRequest> for Guard
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = GuardService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(GuardService {
            guard: self.clone(),
            service,
        }))
    }
}

/// A [`Guard`] in front of a service.
#[derive(Debug)]
pub struct GuardService<S> {
    guard: Guard,
    service: S,
}

type Guarded<B> = fn(ServiceResponse<B>) -> ServiceResponse<EitherBody<B>>;

impl<S, B> Service<ServiceRequest> for GuardService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Either<Ready<Result<Self::Response, Error>>, MapOk<S::Future, Guarded<B>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let access = (self.guard.policy)(&request);
        if access == Access::Open {
            return Either::Right(
                self.service
                    .call(request)
                    .map_ok(ServiceResponse::map_into_left_body),
            );
        }

        match self.guard.admit(&request, access) {
            Ok(identity) => {
                if let Some(identity) = identity {
                    request.extensions_mut().insert(identity);
                }
                let guarded: Guarded<B> = |mut response| {
                    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
                    response.map_into_left_body()
                };
                Either::Right(self.service.call(request).map_ok(guarded))
            }
            Err(refusal) => {
                let (request, _unread) = request.into_parts();
                let response = refusal.answer(&request, self.guard.realm, &*self.guard.answer);
                let response: ServiceResponse<BoxBody> = ServiceResponse::new(request, response);
                Either::Left(ready(Ok(response.map_into_right_body())))
            }
        }
    }
}

//! The table of routes: what is served, to whom, and what `/openapi.json` says of it.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Compat;
use actix_web::{HttpRequest, HttpResponse, Resource, guard, web};
use actix_web_prom::PrometheusMetrics;
use gatewayz_admin_auth::{Access as Guarded, routed_path};
use tracing_actix_web::TracingLogger;

use crate::endpoints::{
    diagnostics, docs, inference, instrumentation, log_level, metrics, probes, root, users,
};
use crate::limits;
use crate::plane::AdminSpan;
use crate::problem::Problem;
use crate::settings::{Environment, ServerSettings};

/// Under this prefix everything is closed to callers without an admin key, also what does not exist.
const ADMIN_PREFIX: &str = "/api/instrumentation/";
/// Nothing outside of these asks for an admin key; a test holds the table against them.
const GUARDED_PREFIXES: [&str; 2] = [ADMIN_PREFIX, "/api/metrics/"];

/// What a path answers to a method it does not take.
pub(crate) const METHOD_NOT_ALLOWED: &str = "This path takes other methods; see the Allow header.";

/// Routes whose requests leave no signal.
pub const SILENT_ROUTES: [&str; 3] = ["/metrics", "/live", "/ready"];

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// Anyone, and an admin is shown more.
    Optional,
    /// Callers with an admin key.
    Admin,
    /// Anyone in the local environment, callers with an admin key elsewhere.
    AdminOutsideLocal,
    /// Callers with an API key; in the local environment without any key anyone.
    ApiKey,
    /// Anyone, or callers with METRICS_TOKEN when it is set.
    MetricsToken,
}

/// Which part of the service a route belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// What clients come for.
    Api,
    /// Telemetry about the service; measured by actix-web-prom.
    Instrumentation,
}

/// One method of one path.
pub struct Route {
    /// `GET` (which also serves `HEAD`), `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Template of the path.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The part it belongs to.
    pub plane: Plane,
    /// One sentence.
    pub summary: &'static str,
    /// JSON schema of the body; `None` when it takes none.
    pub body: Option<fn() -> serde_json::Value>,
    handler: fn() -> actix_web::Route,
}

const fn get(
    path: &'static str,
    access: Access,
    plane: Plane,
    summary: &'static str,
    handler: fn() -> actix_web::Route,
) -> Route {
    Route {
        method: "GET",
        path,
        access,
        plane,
        summary,
        body: None,
        handler,
    }
}

const fn post(
    path: &'static str,
    access: Access,
    plane: Plane,
    summary: &'static str,
    handler: fn() -> actix_web::Route,
) -> Route {
    Route {
        method: "POST",
        path,
        access,
        plane,
        summary,
        body: None,
        handler,
    }
}

/// Every route: those with the most traffic first, then in the order of the documentation.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    get("/api/users/{id}", Access::Open, Plane::Api, "Demonstration route; off in production.", || web::to(users::user)),
    Route { method: "POST", path: "/v1/chat/completions", access: Access::ApiKey, plane: Plane::Api, summary: "OpenAI's chat completions, as JSON or as a stream.", body: Some(inference::chat_schema), handler: || web::to(inference::chat) },
    Route { method: "POST", path: "/v1/embeddings", access: Access::ApiKey, plane: Plane::Api, summary: "OpenAI's embeddings.", body: Some(inference::embeddings_schema), handler: || web::to(inference::embeddings) },
    get("/v1/models", Access::ApiKey, Plane::Api, "The models of the catalog.", || web::to(inference::models)),
    get("/v1/models/{model}", Access::ApiKey, Plane::Api, "One model of the catalog.", || web::to(inference::model)),
    get("/v1/models/{owner}/{model}", Access::ApiKey, Plane::Api, "One model of the catalog whose id has a slash.", || web::to(inference::model_of_owner)),
    get("/", Access::Open, Plane::Api, "Name, version and links.", || web::to(root::index)),
    get("/health", Access::Open, Plane::Api, "The service answers.", || web::to(probes::health)),
    get("/live", Access::Open, Plane::Api, "The process lives; nothing outside it matters.", || web::to(probes::live)),
    get("/ready", Access::Open, Plane::Api, "Ready to serve; 503 while it is stopping.", || web::to(probes::ready)),
    get("/metrics", Access::MetricsToken, Plane::Instrumentation, "Prometheus text, or OpenMetrics with exemplars when the Accept header asks.", || web::to(metrics::page)),
    get("/api/metrics/status", Access::Open, Plane::Instrumentation, "What the metrics are and where.", || web::to(metrics::status)),
    get("/api/metrics/summary", Access::Open, Plane::Instrumentation, "Every registered metric.", || web::to(metrics::summary)),
    post("/api/metrics/test", Access::AdminOutsideLocal, Plane::Instrumentation, "Sends one request through the whole path and reports its three signals.", || web::to(diagnostics::test_metrics)),
    get("/api/metrics/grafana-queries", Access::Open, Plane::Instrumentation, "The queries of the dashboards.", || web::to(metrics::grafana_queries)),
    get("/api/metrics/health", Access::Open, Plane::Instrumentation, "Health of the metrics, traces and logs.", || web::to(metrics::health)),
    get("/api/instrumentation/health", Access::Optional, Plane::Instrumentation, "Health of Loki and Tempo delivery; URLs only for an admin.", || web::to(instrumentation::health)),
    get("/api/instrumentation/trace-context", Access::Open, Plane::Instrumentation, "The ids of this very request.", || web::to(instrumentation::trace_context)),
    get("/api/instrumentation/loki/status", Access::Admin, Plane::Instrumentation, "Loki settings and delivery figures.", || web::to(instrumentation::loki_status)),
    get("/api/instrumentation/tempo/status", Access::Admin, Plane::Instrumentation, "Tempo settings and delivery figures.", || web::to(instrumentation::tempo_status)),
    get("/api/instrumentation/config", Access::Admin, Plane::Instrumentation, "The telemetry's configuration; secrets as ***.", || web::to(instrumentation::config)),
    get("/api/instrumentation/environment-variables", Access::Admin, Plane::Instrumentation, "Every variable of the service with its source; secrets as ***.", || web::to(instrumentation::environment_variables)),
    post("/api/instrumentation/test-trace", Access::Admin, Plane::Instrumentation, "Makes a span with a child, flushes, and reports the delivery.", || web::to(diagnostics::test_trace)),
    post("/api/instrumentation/test-log", Access::Admin, Plane::Instrumentation, "Writes one line per level, flushes, and reports the delivery.", || web::to(diagnostics::test_log)),
    get("/api/instrumentation/log-level", Access::Admin, Plane::Instrumentation, "The levels in force and the configured ones.", || web::to(log_level::read)),
    Route { method: "PUT", path: "/api/instrumentation/log-level", access: Access::Admin, plane: Plane::Instrumentation, summary: "Sets the levels, for a time if ttl_seconds is given.", body: Some(log_level::body_schema), handler: || web::to(log_level::set) },
    Route { method: "DELETE", path: "/api/instrumentation/log-level", access: Access::Admin, plane: Plane::Instrumentation, summary: "Goes back to the configured levels.", body: None, handler: || web::to(log_level::reset) },
    get("/openapi.json", Access::Open, Plane::Instrumentation, "This API as an OpenAPI 3.1 document.", || web::to(docs::openapi)),
    get("/docs", Access::Open, Plane::Instrumentation, "This API to read, without any other host.", || web::to(docs::page)),
];

/// The routes that this process serves.
pub fn served(server: &ServerSettings) -> impl Iterator<Item = &'static Route> {
    let demo_routes = server.demo_routes;
    ROUTES
        .iter()
        .filter(move |route| demo_routes || route.path != "/api/users/{id}")
}

/// Adds every served route, each path with one answer for its other methods.
pub fn configure(config: &mut web::ServiceConfig, server: &ServerSettings, plane: &PrometheusMetrics) {
    // The router tries paths in this order, so the table's first ones are found fastest.
    let mut by_path: Vec<(&'static str, Vec<&Route>)> = Vec::new();
    for route in served(server) {
        match by_path.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, routes)) => routes.push(route),
            None => by_path.push((route.path, vec![route])),
        }
    }
    for (path, routes) in by_path {
        let measured = routes.iter().any(|route| route.plane == Plane::Instrumentation);
        let admin = routes
            .iter()
            .any(|route| matches!(route.access, Access::Admin | Access::AdminOutsideLocal));
        if measured && admin {
            let spanned = Compat::new(TracingLogger::<AdminSpan>::new());
            config.service(resource(path, &routes).wrap(spanned).wrap(plane.clone()));
        } else if measured {
            config.service(resource(path, &routes).wrap(plane.clone()));
        } else {
            config.service(resource(path, &routes));
        }
    }
    config.app_data(web::PathConfig::default().error_handler(limits::path_error));
    config.default_service(web::to(|request: HttpRequest| async move {
        not_found().response_at(request.path())
    }));
}

/// What the admin guard lets through, decided on the path as the router will read it.
pub fn policy(
    environment: Environment,
) -> impl Fn(&ServiceRequest) -> Guarded + Clone + Send + Sync + 'static {
    move |request| {
        let path = routed_path(request);
        if !GUARDED_PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
            return Guarded::Open;
        }
        let method = match request.method().as_str() {
            "HEAD" => "GET",
            method => method,
        };
        let mut of_path = ROUTES.iter().filter(|route| route.path == path).peekable();
        if of_path.peek().is_none() {
            return if path.starts_with(ADMIN_PREFIX) {
                Guarded::Admin
            } else {
                Guarded::Open
            };
        }
        match of_path
            .find(|route| route.method == method)
            .map(|route| route.access)
        {
            Some(Access::Open | Access::ApiKey | Access::MetricsToken) => Guarded::Open,
            Some(Access::Optional) => Guarded::Optional,
            Some(Access::Admin) => Guarded::Admin,
            Some(Access::AdminOutsideLocal) if environment == Environment::Local => Guarded::Open,
            Some(Access::AdminOutsideLocal) => Guarded::Admin,
            // The wrong method of a path is answered with the right ones, to those who may know them.
            None if path.starts_with(ADMIN_PREFIX) => Guarded::Admin,
            None => Guarded::Open,
        }
    }
}

/// The `Allow` header of a route template; `None` for one that is not in the table.
#[must_use]
pub fn allowed(template: &str) -> Option<HeaderValue> {
    let methods = ROUTES.iter().filter(|route| route.path == template);
    let methods: Vec<&str> = methods
        .flat_map(|route| served_methods(route.method))
        .map(Method::as_str)
        .collect();
    HeaderValue::from_str(&methods.join(", "))
        .ok()
        .filter(|_| !methods.is_empty())
}

/// A `GET` route also answers `HEAD`.
fn served_methods(method: &'static str) -> &'static [Method] {
    static GET: [Method; 2] = [Method::GET, Method::HEAD];
    static POST: [Method; 1] = [Method::POST];
    static PUT: [Method; 1] = [Method::PUT];
    static DELETE: [Method; 1] = [Method::DELETE];
    match method {
        "GET" => &GET,
        "POST" => &POST,
        "PUT" => &PUT,
        _ => &DELETE,
    }
}

fn resource(path: &'static str, routes: &[&Route]) -> Resource {
    let mut resource = web::resource(path);
    for route in routes {
        let methods = served_methods(route.method);
        resource = resource.route((route.handler)().guard(guard::fn_guard(move |context| {
            methods.contains(&context.head().method)
        })));
    }
    resource.default_service(web::to(move || async move { method_not_allowed(path) }))
}

/// The answer where nothing is.
pub(crate) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this path; see /docs.")
}

fn method_not_allowed(template: &str) -> HttpResponse {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, METHOD_NOT_ALLOWED);
    let mut response = problem.response_at(template);
    if let Some(allow) = allowed(template) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_that_wants_an_admin_key_is_under_a_guarded_prefix() {
        let open_to_all =
            |route: &&Route| matches!(route.access, Access::Open | Access::ApiKey | Access::MetricsToken);

        for route in ROUTES.iter().filter(|route| !open_to_all(route)) {
            assert!(
                GUARDED_PREFIXES
                    .iter()
                    .any(|prefix| route.path.starts_with(prefix)),
                "{}",
                route.path
            );
        }
    }
}

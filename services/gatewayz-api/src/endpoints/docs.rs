//! `/openapi.json` and `/docs`: the API as a document and as a page that needs no other host.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Data;
use sha2::{Digest, Sha256};

use super::inference::EXAMPLE_MODEL;
use crate::openapi;
use crate::routes::{self, Access, Plane, Route};
use crate::state::{State, VERSION};

const PAGE: &str = include_str!("docs.html");
const STYLE: &str = include_str!("docs.css");
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The OpenAPI document of the routes that are served.
pub async fn openapi(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(openapi::document_of(routes::served(&state.settings.server)))
}

/// The same to read. The page has no script, and may load nothing.
pub async fn page(state: Data<State>) -> HttpResponse {
    let address = state.bound_address();
    let port = address.map_or(state.settings.server.port, |address| address.port());
    let served: Vec<&Route> = routes::served(&state.settings.server).collect();
    let sections: String = [
        (Plane::Api, "Service"),
        (Plane::Instrumentation, "Instrumentation"),
    ]
    .into_iter()
    .map(|(plane, title)| section(title, served.iter().filter(|route| route.plane == plane), port))
    .collect();
    let service = &state.settings.service;
    // Texts from settings come last, so that a placeholder in one stays text.
    let page = PAGE
        .replace("{{style}}", STYLE)
        .replace("{{sections}}", &sections)
        .replace("{{version}}", VERSION)
        .replace("{{environment}}", service.environment.as_str())
        .replace("{{name}}", &escaped(&service.service_name));
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")))
        .insert_header((CONTENT_SECURITY_POLICY, policy()))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .insert_header((REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
        .body(page)
}

/// Allows this page's own style and nothing else.
fn policy() -> String {
    let digest = base64(&Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

fn section<'a>(title: &str, routes: impl Iterator<Item = &'a &'a Route>, port: u16) -> String {
    let mut html = format!("<section>\n<h2>{title}</h2>\n");
    for route in routes {
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<article>\n<h3><span class=\"method {class}\">{method}</span> <code>{path}</code> \
             <span class=\"access\">{access}</span></h3>\n<p>{summary}</p>\n<pre>{command}</pre>\n</article>\n",
            class = route.method.to_ascii_lowercase(),
            method = route.method,
            path = escaped(route.path),
            access = escaped(route.access.description()),
            summary = escaped(route.summary),
            command = escaped(&command(route, port)),
        );
    }
    html.push_str("</section>\n");
    html
}

fn command(route: &Route, port: u16) -> String {
    let mut command = "curl".to_owned();
    if route.method != "GET" {
        command.push_str(" -X ");
        command.push_str(route.method);
    }
    let key = match route.access {
        Access::Admin | Access::AdminOutsideLocal => Some("ADMIN_API_KEY"),
        Access::ApiKey => Some("API_KEY"),
        Access::Open | Access::Optional | Access::MetricsToken => None,
    };
    if let Some(key) = key {
        let _ = write!(command, " -H \"Authorization: Bearer ${key}\"");
    }
    if let Some(example) = route.body.map(|schema| example(&schema())) {
        command.push_str(" -H 'Content-Type: application/json' -d '");
        command.push_str(&example);
        command.push('\'');
    }
    let _ = write!(command, " http://localhost:{port}{}", example_path(route));
    command
}

/// The path with an example for each parameter.
fn example_path(route: &Route) -> String {
    let examples = [("{id}", "1"), ("{owner}", "owner"), ("{model}", EXAMPLE_MODEL)];
    examples
        .iter()
        .fold(route.path.to_owned(), |path, (parameter, example)| {
            path.replace(parameter, example)
        })
}

/// A body of the schema's required members, each with its first example.
fn example(schema: &serde_json::Value) -> String {
    let required = schema["required"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let members = required.iter().filter_map(serde_json::Value::as_str);
    let members: serde_json::Map<_, _> = members
        .map(|name| (name.to_owned(), schema["properties"][name]["examples"][0].clone()))
        .collect();
    serde_json::Value::Object(members).to_string()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Base64 with padding, as a policy's hashes are written.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = bits >> (18 - 6 * place) & 0x3f;
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(BASE64[digit as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;

    #[test]
    fn base64_follows_the_examples_of_its_specification() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_policy_allows_exactly_the_style_that_is_between_the_tags() {
        let filled = PAGE.replace("{{style}}", STYLE);
        let (_, rest) = filled.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();

        let digest = base64(&Sha256::digest(style));

        assert!(policy().contains(&format!("'sha256-{digest}'")));
    }

    #[test]
    fn every_route_has_a_line_that_can_be_pasted() {
        let html = section("All", ROUTES.iter().collect::<Vec<_>>().iter(), 8000);

        for route in ROUTES {
            let path = example_path(route);
            assert!(
                html.contains(&format!("http://localhost:8000{path}</pre>")) && !path.contains('{'),
                "{path}"
            );
        }
        assert!(!html.contains(":null"), "{html}");
        assert!(
            html.contains("-d '{&quot;levels&quot;:&quot;debug&quot;}'"),
            "{html}"
        );
    }
}

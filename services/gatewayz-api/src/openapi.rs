//! The OpenAPI 3.1 document, made of the table of routes.

use serde_json::{Map, Value, json};

use crate::routes::{Access, Plane, ROUTES, Route};
use crate::state::VERSION;

/// What a route answers with when it does.
const ANSWERS: &[(&str, &[&str])] = &[
    ("/docs", &["text/html"]),
    ("/v1/chat/completions", &["application/json", "text/event-stream"]),
    ("/metrics", &["text/plain", "application/openmetrics-text"]),
];

/// The document of every route, the demonstration ones included.
#[must_use]
pub fn document() -> Value {
    document_of(ROUTES.iter())
}

/// The document of some routes.
pub fn document_of<'a>(routes: impl Iterator<Item = &'a Route>) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| path_item(route.path));
        if let Some(members) = path.as_object_mut() {
            members.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "gatewayz-api",
            "version": VERSION,
            "summary": "Every request leaves a metric, a log line and a trace that agree.",
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "api", "description": "What clients come for." },
            { "name": "instrumentation", "description": "Telemetry about the service." },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of API_KEYS_SHA256; in the local environment without any, none is asked for.",
                },
                "adminKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin key (ADMIN_API_KEY).",
                },
                "metricsToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "METRICS_TOKEN, when it is set.",
                },
            },
            "schemas": { "Problem": problem_schema(), "OpenAiError": openai_error_schema() },
            "responses": {
                "OpenAiError": {
                    "description": "What went wrong, in OpenAI's form.",
                    "content": {
                        "application/json": { "schema": { "$ref": "#/components/schemas/OpenAiError" } },
                    },
                },
                "Problem": {
                    "description": "What went wrong (RFC 9457).",
                    "content": {
                        "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
                    },
                },
            },
        },
    })
}

impl Access {
    /// Who it is, in a few words.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Optional => "open; an admin sees more",
            Self::ApiKey => "API key",
            Self::Admin => "admin key",
            Self::AdminOutsideLocal => "open in local, else admin key",
            Self::MetricsToken => "METRICS_TOKEN if set",
        }
    }

    fn security(self) -> Value {
        match self {
            Self::Open => json!([]),
            Self::ApiKey => json!([{ "apiKey": [] }]),
            Self::Admin => json!([{ "adminKey": [] }]),
            Self::Optional | Self::AdminOutsideLocal => json!([{}, { "adminKey": [] }]),
            Self::MetricsToken => json!([{}, { "metricsToken": [] }]),
        }
    }

    /// The component that describes every answer but the good one.
    fn refusal(self) -> &'static str {
        match self {
            Self::ApiKey => "#/components/responses/OpenAiError",
            Self::Open | Self::Admin | Self::Optional | Self::AdminOutsideLocal | Self::MetricsToken => {
                "#/components/responses/Problem"
            }
        }
    }
}

fn path_item(path: &str) -> Value {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| {
            let schema = match name {
                "id" => json!({ "type": "integer", "minimum": 0 }),
                _ => json!({ "type": "string" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if parameters.is_empty() {
        json!({})
    } else {
        json!({ "parameters": parameters })
    }
}

fn operation(route: &Route) -> Value {
    let tag = match route.plane {
        Plane::Api => "api",
        Plane::Instrumentation => "instrumentation",
    };
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [tag],
        "summary": route.summary,
        "security": route.access.security(),
    });
    let Some(members) = operation.as_object_mut() else {
        return operation;
    };
    if let Some(schema) = route.body {
        let body = json!({ "required": true, "content": { "application/json": { "schema": schema() } } });
        members.insert("requestBody".to_owned(), body);
    }
    let given = ANSWERS.iter().find(|(path, _)| *path == route.path);
    let types = given.map_or(&["application/json"][..], |(_, types)| *types);
    let content: Map<String, Value> = types
        .iter()
        .map(|content_type| ((*content_type).to_owned(), json!({})))
        .collect();
    members.insert(
        "responses".to_owned(),
        json!({
            "200": { "description": "Done.", "content": content },
            "default": { "$ref": route.access.refusal() },
        }),
    );
    operation
}

fn operation_id(route: &Route) -> String {
    let path = route.path.replace(['{', '}'], "").replace(['-', '.'], "_");
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() {
        "root".to_owned()
    } else {
        words.join("_")
    };
    format!("{}_{name}", route.method.to_ascii_lowercase())
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "trace_id": { "type": "string", "pattern": "^[0-9a-f]{32}$" },
        },
    })
}

fn openai_error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": { "type": "string" },
                    "type": { "type": "string" },
                    "param": { "type": ["string", "null"] },
                    "code": { "type": ["string", "null"] },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_once() {
        let document = document();

        let mut ids = BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert_eq!(
                operation["summary"], route.summary,
                "{} {}",
                route.method, route.path
            );
            assert!(ids.insert(operation["operationId"].to_string()));
        }
    }

    #[test]
    fn admin_routes_ask_for_the_admin_key_and_open_ones_for_nothing() {
        let document = document();

        let security = |path: &str, method: &str| document["paths"][path][method]["security"].clone();
        assert_eq!(security("/health", "get"), json!([]));
        assert_eq!(
            security("/api/instrumentation/test-trace", "post"),
            json!([{ "adminKey": [] }])
        );
        assert_eq!(security("/metrics", "get"), json!([{}, { "metricsToken": [] }]));
    }

    #[test]
    fn path_parameters_and_bodies_are_described() {
        let document = document();

        assert_eq!(
            document["paths"]["/api/users/{id}"]["parameters"][0]["name"],
            "id"
        );
        let change = &document["paths"]["/api/instrumentation/log-level"]["put"]["requestBody"];
        assert_eq!(
            change["content"]["application/json"]["schema"]["required"],
            json!(["levels"])
        );
    }

    #[test]
    fn answers_that_are_no_success_are_described_in_the_form_they_have() {
        let document = document();

        let refusal = |path: &str, method: &str| {
            let reference = &document["paths"][path][method]["responses"]["default"]["$ref"];
            document
                .pointer(reference.as_str().unwrap().trim_start_matches('#'))
                .unwrap()["content"]
                .clone()
        };
        assert!(refusal("/v1/chat/completions", "post")["application/json"].is_object());
        assert!(refusal("/api/users/{id}", "get")["application/problem+json"].is_object());
    }
}

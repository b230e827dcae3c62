//! Providers that fail, one for each fault, under models of the same names.

use std::time::Duration;

use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::json;

/// All of them, by the names of their models.
pub(super) struct Faults {
    providers: Vec<(&'static str, FaultyProvider)>,
}

impl Faults {
    pub(super) fn start() -> Self {
        let html = Script::whole(502, &[("content-type", "text/html")], "<h1>Bad Gateway</h1>");
        let limited = Script::whole(
            429,
            &[("content-type", "application/json"), ("retry-after", "30")],
            r#"{"error":{"message":"slow down"}}"#,
        );
        let picky = json!({"error": {
            "message": "It cannot get warmer than 2.",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "too_warm",
        }});
        let scripts = [
            ("broken", html),
            ("limited", limited),
            ("picky", Script::json(400, &picky.to_string())),
            (
                "truncated",
                Script::open_stream(&[&event("Grüße")]).then(Step::Close),
            ),
            ("silent", Script::of([Step::Hang])),
            (
                "endless",
                Script::open_stream(&[]).then(Step::Forever(event("on ").into(), Duration::from_millis(20))),
            ),
        ];
        Self {
            providers: scripts
                .map(|(name, script)| (name, FaultyProvider::always(script)))
                .into(),
        }
    }

    /// A catalog with a provider and a model of the same name for each.
    pub(super) fn catalog(&self) -> String {
        let entry = |(name, provider): &(&str, FaultyProvider)| {
            format!(
                "[[providers]]\nname = \"{name}\"\nkind = \"openai\"\nbase_url = \"{}\"\nprobe = false\n\n\
                 [[models]]\nid = \"{name}\"\ncandidates = [{{ provider = \"{name}\", model = \"{name}\" }}]\n\n",
                provider.base_url()
            )
        };
        self.providers.iter().map(entry).collect()
    }

    #[track_caller]
    pub(super) fn of(&self, name: &str) -> &FaultyProvider {
        let mut providers = self.providers.iter();
        &providers.find(|(known, _)| *known == name).unwrap().1
    }
}

fn event(text: &str) -> String {
    let chunk = json!({
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    });
    format!("data: {chunk}\n\n")
}

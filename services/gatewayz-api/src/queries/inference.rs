//! What is asked about calls of models.

use super::{Query, loki, prometheus, tempo};

/// Panels of the dashboard of inference.
pub const INFERENCE: &[Query] = &[
    INFERENCE_CALLS,
    INFERENCE_FAILED_SHARE,
    INFERENCE_COST,
    INFERENCE_TOKENS,
    MODEL_INFERENCE_RATE,
    INFERENCE_ERRORS,
    INFERENCE_DURATION_P50,
    INFERENCE_DURATION_P95,
    INFERENCE_DURATION_P99,
    INFERENCE_FIRST_TOKEN_P50,
    INFERENCE_FIRST_TOKEN_P95,
    INFERENCE_FIRST_TOKEN_P99,
    TOKEN_CONSUMPTION,
    INFERENCE_COST_RATE,
    PROVIDER_AVAILABILITY,
    PROVIDER_ERRORS,
    PROVIDER_BREAKERS,
    PROVIDER_RESPONSE_P95,
    CACHE_HIT_RATE,
    CACHE_RATE,
    CACHE_MISSES,
    CACHE_SIZE,
    FAILED_CALLS,
    PROVIDER_TRACES,
];

/// Inference Calls.
pub const INFERENCE_CALLS: Query = Query {
    unit: "short",
    ..prometheus(
        "inference_calls",
        "Inference Calls",
        "sum(increase(model_inference_requests_total{<calls>}[<range>]) <own_once>)",
        "Calls of models finished within the window.",
    )
};

/// Failed Calls.
pub const INFERENCE_FAILED_SHARE: Query = Query {
    unit: "percentunit",
    ..prometheus(
        "inference_failed_share",
        "Failed Calls",
        r#"sum(increase(model_inference_requests_total{<calls>, status!~"success|cancelled"}[<range>]) <own_once>) / (sum(increase(model_inference_requests_total{<calls>}[<range>]) <own_once>) > 0)"#,
        "Share of the calls within the window that failed, timed out or were truncated. A caller that left is no failure.",
    )
};

/// Cost.
pub const INFERENCE_COST: Query = Query {
    unit: "currencyUSD",
    ..prometheus(
        "inference_cost",
        "Cost",
        "sum(increase(credits_used_total{<calls>}[<range>]) <own_once>)",
        "Cost within the window of the tokens that providers reported, in US dollars.",
    )
};

/// Tokens.
pub const INFERENCE_TOKENS: Query = Query {
    unit: "short",
    ..prometheus(
        "inference_tokens",
        "Tokens",
        "sum(increase(tokens_used_total{<calls>}[<range>]) <own_once>)",
        "Tokens within the window, guesses included.",
    )
};

/// Calls Per Second.
pub const MODEL_INFERENCE_RATE: Query = Query {
    unit: "reqps",
    legend: "{{provider}} {{model}}",
    ..prometheus(
        "model_inference_rate",
        "Calls Per Second",
        "sum by (provider, model) (rate(model_inference_requests_total{<calls>}[<rate>]) <own>)",
        "Calls finished, a second.",
    )
};

/// Failed Calls Per Second.
pub const INFERENCE_ERRORS: Query = Query {
    unit: "reqps",
    legend: "{{status}} {{provider}} {{model}}",
    ..prometheus(
        "inference_errors",
        "Failed Calls Per Second",
        r#"sum by (provider, model, status) (rate(model_inference_requests_total{<calls>, status!="success"}[<rate>]) <own>)"#,
        "Calls that did not succeed, a second, by how they ended.",
    )
};

/// Call Duration P50.
pub const INFERENCE_DURATION_P50: Query = Query {
    unit: "s",
    legend: "P50 {{provider}} {{model}}",
    ..prometheus(
        "inference_duration_p50",
        "Call Duration P50",
        "histogram_quantile(0.50, sum by (le, provider, model) (rate(model_inference_duration_seconds_bucket{<calls>}[<rate>]) <own>))",
        "50 % of the calls are answered to their last byte within this time.",
    )
};

/// Call Duration P95.
pub const INFERENCE_DURATION_P95: Query = Query {
    unit: "s",
    legend: "P95 {{provider}} {{model}}",
    ..prometheus(
        "inference_duration_p95",
        "Call Duration P95",
        "histogram_quantile(0.95, sum by (le, provider, model) (rate(model_inference_duration_seconds_bucket{<calls>}[<rate>]) <own>))",
        "95 % of the calls are answered to their last byte within this time.",
    )
};

/// Call Duration P99.
pub const INFERENCE_DURATION_P99: Query = Query {
    unit: "s",
    legend: "P99 {{provider}} {{model}}",
    ..prometheus(
        "inference_duration_p99",
        "Call Duration P99",
        "histogram_quantile(0.99, sum by (le, provider, model) (rate(model_inference_duration_seconds_bucket{<calls>}[<rate>]) <own>))",
        "99 % of the calls are answered to their last byte within this time.",
    )
};

/// Time To First Token P50.
pub const INFERENCE_FIRST_TOKEN_P50: Query = Query {
    unit: "s",
    legend: "P50 {{provider}} {{model}}",
    ..prometheus(
        "inference_first_token_p50",
        "Time To First Token P50",
        "histogram_quantile(0.50, sum by (le, provider, model) (rate(model_inference_time_to_first_token_seconds_bucket{<calls>}[<rate>]) <own>))",
        "50 % of the streams bring their first output within this time.",
    )
};

/// Time To First Token P95.
pub const INFERENCE_FIRST_TOKEN_P95: Query = Query {
    unit: "s",
    legend: "P95 {{provider}} {{model}}",
    ..prometheus(
        "inference_first_token_p95",
        "Time To First Token P95",
        "histogram_quantile(0.95, sum by (le, provider, model) (rate(model_inference_time_to_first_token_seconds_bucket{<calls>}[<rate>]) <own>))",
        "95 % of the streams bring their first output within this time.",
    )
};

/// Time To First Token P99.
pub const INFERENCE_FIRST_TOKEN_P99: Query = Query {
    unit: "s",
    legend: "P99 {{provider}} {{model}}",
    ..prometheus(
        "inference_first_token_p99",
        "Time To First Token P99",
        "histogram_quantile(0.99, sum by (le, provider, model) (rate(model_inference_time_to_first_token_seconds_bucket{<calls>}[<rate>]) <own>))",
        "99 % of the streams bring their first output within this time.",
    )
};

/// Tokens Per Second.
pub const TOKEN_CONSUMPTION: Query = Query {
    unit: "short",
    legend: "{{token_type}} {{model}}",
    ..prometheus(
        "token_consumption",
        "Tokens Per Second",
        "sum by (model, token_type) (rate(tokens_used_total{<calls>}[<rate>]) <own>)",
        "Tokens a second; estimated_* are guesses where a provider reported none.",
    )
};

/// Cost Per Hour.
pub const INFERENCE_COST_RATE: Query = Query {
    unit: "currencyUSD",
    legend: "{{provider}} {{model}}",
    ..prometheus(
        "inference_cost_rate",
        "Cost Per Hour",
        "sum by (provider, model) (rate(credits_used_total{<calls>}[<rate>]) <own>) * 3600",
        "Cost in US dollars an hour at the present rate.",
    )
};

/// Provider Availability.
pub const PROVIDER_AVAILABILITY: Query = Query {
    unit: "short",
    legend: "{{provider}}",
    ..prometheus(
        "provider_availability",
        "Provider Availability",
        "min by (provider) (provider_availability{<provider>} <own>)",
        "1 while every replica can call the provider.",
    )
};

/// Provider Error Rate.
pub const PROVIDER_ERRORS: Query = Query {
    unit: "percentunit",
    legend: "{{provider}}",
    ..prometheus(
        "provider_errors",
        "Provider Error Rate",
        "max by (provider) (provider_error_rate{<provider>} <own>)",
        "Share of the attempts in the last minute that failed, at the worst replica.",
    )
};

/// Open Breakers.
pub const PROVIDER_BREAKERS: Query = Query {
    unit: "short",
    legend: "{{provider}} {{model}}",
    ..prometheus(
        "provider_breakers",
        "Open Breakers",
        "max by (provider, model) (provider_breaker_open{<calls>} <own>)",
        "1 while a replica keeps calls of the model away from the provider.",
    )
};

/// Provider Response Time P95.
pub const PROVIDER_RESPONSE_P95: Query = Query {
    unit: "s",
    legend: "{{provider}}",
    ..prometheus(
        "provider_response_p95",
        "Provider Response Time P95",
        "histogram_quantile(0.95, sum by (le, provider) (rate(provider_response_time_seconds_bucket{<provider>}[<rate>]) <own>))",
        "95 % of the attempts get the first byte of an answer within this time.",
    )
};

/// Cache Hits.
pub const CACHE_HIT_RATE: Query = Query {
    unit: "percentunit",
    legend: "{{cache_name}}",
    ..prometheus(
        "cache_hit_rate",
        "Cache Hits",
        "sum by (cache_name) (increase(cache_hits_total{<cache>}[<range>]) <own_once>) / (sum by (cache_name) (increase(cache_hits_total{<cache>}[<range>]) <own_once>) + sum by (cache_name) (increase(cache_misses_total{<cache>}[<range>]) <own_once>) > 0)",
        "Share of the calls within the window that the cache answered, of those that asked it.",
    )
};

/// Cache Hits Per Second.
pub const CACHE_RATE: Query = Query {
    unit: "reqps",
    legend: "hits {{cache_name}}",
    ..prometheus(
        "cache_rate",
        "Cache Hits Per Second",
        "sum by (cache_name) (rate(cache_hits_total{<cache>}[<rate>]) <own>)",
        "Calls answered from the cache, a second.",
    )
};

/// Cache Misses Per Second.
pub const CACHE_MISSES: Query = Query {
    unit: "reqps",
    legend: "misses {{cache_name}}",
    ..prometheus(
        "cache_misses",
        "Cache Misses Per Second",
        "sum by (cache_name) (rate(cache_misses_total{<cache>}[<rate>]) <own>)",
        "Calls for which the cache was asked in vain, a second.",
    )
};

/// Cache Size.
pub const CACHE_SIZE: Query = Query {
    unit: "bytes",
    legend: "{{cache_name}}",
    ..prometheus(
        "cache_size",
        "Cache Size",
        "sum by (cache_name) (cache_size_bytes{<cache>} <own>)",
        "Bytes held by the cache.",
    )
};

/// Lines Of Failed Calls.
pub const FAILED_CALLS: Query = loki(
    "failed_calls",
    "Lines Of Failed Calls",
    r#"{service="<service>"} | json | inference_status!="" | inference_status!="success" | __error__="""#,
    "Requests whose call of a model did not succeed.",
);

/// Attempts At Providers.
pub const PROVIDER_TRACES: Query = tempo(
    "provider_traces",
    "Attempts At Providers",
    r#"{ resource.service.name = "<service>" && kind = client && span.gen_ai.request.model != nil }"#,
    "Traces with an attempt at a provider.",
);

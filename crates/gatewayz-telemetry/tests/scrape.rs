//! The metrics page as a scraper gets it.

mod serving;

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, web};
use gatewayz_metrics::Family;
use gatewayz_telemetry::Telemetry;
use gatewayz_testkit::http::Client;
use gatewayz_testkit::scrape::Samples;
use serving::{Lines, parse, serve};

const ITEMS: Family =
    Family::counter("items_total", "Makes the page long.", &["item"]).with_series_limit(SERIES);
const SERIES: usize = 20_000;

#[test]
fn a_long_page_arrives_whole_in_the_format_that_is_asked_for() {
    let lines = Lines::new();
    let mut settings = lines.settings("orders-api");
    settings.families = vec![&[ITEMS]];
    settings.metrics.series_limit += SERIES;
    let telemetry = Telemetry::start(settings).unwrap();
    for item in 0..SERIES {
        let counter = telemetry.registry().counter(&ITEMS, &[&item.to_string()]);
        counter.unwrap().increment();
    }
    let shared = web::Data::new(telemetry.clone());
    let server = serve(&telemetry, move |app| {
        let scrape = |request: HttpRequest, telemetry: web::Data<Telemetry>| async move {
            telemetry.scrape(request.headers()).await
        };
        app.app_data(shared.clone())
            .route("/metrics", web::get().to(scrape));
    });
    let mut client = Client::connect(server.address).unwrap();

    let text = client.get("/metrics", &[]).unwrap();
    let accepts = [
        ("accept", "text/plain;q=0.5"),
        ("accept", "application/openmetrics-text"),
    ];
    let open_metrics = client.get("/metrics", &accepts).unwrap();

    server.stop();
    let _report = telemetry.shutdown(Instant::now() + Duration::from_secs(10));
    let header = |answer: &gatewayz_testkit::http::Answer, name| answer.header(name).map(str::to_owned);
    assert_eq!(
        header(&text, "content-type").as_deref(),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(
        header(&open_metrics, "content-type").as_deref(),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open_metrics.text().ends_with("\n# EOF\n"));
    for answer in [text, open_metrics] {
        assert_eq!(header(&answer, "cache-control").as_deref(), Some("no-store"));
        assert_eq!(
            header(&answer, "content-length"),
            Some(answer.body.len().to_string())
        );
        let samples = Samples::parse(&answer.text()).unwrap();
        assert_eq!(samples.sum("items_total", &[]), SERIES as f64);
    }
    // Its route is silent unless the settings say otherwise.
    let is_scrape = |line: &serde_json::Value| line["route"] == "/metrics";
    assert!(!parse(&lines.read()).iter().any(is_scrape));
}

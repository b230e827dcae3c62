//! What a call takes in process: routing, the reading of the answer and of each event of a stream, and the outcome. The
//! provider is the built-in one, so that no socket is in it.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use futures_util::StreamExt;
use gatewayz_inference::{Body, Call, Catalog, FAMILIES, Gateway, GatewaySettings};
use gatewayz_metrics::{Registry, RegistrySettings};
use tokio::runtime::Runtime;

const TEXT: &str =
    "Which three signals does a request leave, and what joins them? Say it in a few words, please.";

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn gateway() -> Gateway {
    let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();
    Gateway::new(&Catalog::echo(), &registry, GatewaySettings::default()).unwrap()
}

fn request(further: &str) -> Bytes {
    format!(r#"{{"model":"echo","messages":[{{"role":"user","content":"{TEXT}"}}]{further}}}"#).into()
}

/// Bytes of the answer, all of it read.
async fn answer(gateway: &Gateway, request: Bytes) -> usize {
    let answer = gateway.chat(request, Call::default()).await.unwrap();
    match answer.body {
        Body::Bytes(bytes) => bytes.len(),
        Body::Stream(mut events) => {
            let mut length = 0;
            while let Some(Ok(bytes)) = events.next().await {
                length += bytes.len();
            }
            length
        }
    }
}

fn run(bencher: Bencher<'_, '_>, further: &str) {
    let (runtime, gateway) = (runtime(), gateway());
    let request = request(further);
    let length = runtime.block_on(answer(&gateway, request.clone()));

    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| runtime.block_on(answer(&gateway, black_box(request.clone()))));
}

#[divan::bench]
fn json(bencher: Bencher<'_, '_>) {
    run(bencher, "");
}

#[divan::bench]
fn stream(bencher: Bencher<'_, '_>) {
    run(
        bencher,
        r#","stream":true,"stream_options":{"include_usage":true}"#,
    );
}

//! One server span per request and no other signal: `span-export ADDRESS OTLP_GRPC_ENDPOINT standard|records`.

mod records;
mod standard;

use anyhow::{Result, bail};

#[actix_web::main]
async fn main() -> Result<()> {
    let endpoint = workload::argument(2, "OTLP endpoint")?;
    match workload::argument(3, "way of export")?.as_str() {
        "standard" => standard::serve(&endpoint).await,
        "records" => records::serve(&endpoint).await,
        _ => bail!("read argument 3: neither standard nor records"),
    }
}

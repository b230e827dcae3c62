//! The floor: `bare ADDRESS`.

use actix_web::{App, HttpServer};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    HttpServer::new(|| App::new().configure(workload::configure))
        .workers(1)
        .keep_alive(workload::KEEP_ALIVE)
        .listen(workload::bind()?)?
        .run()
        .await?;
    Ok(())
}

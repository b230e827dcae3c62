//! The floor: `bare ADDRESS [NAME=VALUE]...`, the names being those of `workload::Shape`.

use actix_web::{App, HttpServer};
use workload::Shape;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let shape = Shape::read()?;
    HttpServer::new(move || App::new().configure(|config| shape.configure(config)))
        .workers(shape.workers)
        .keep_alive(workload::KEEP_ALIVE)
        .listen(workload::bind()?)?
        .run()
        .await?;
    Ok(())
}

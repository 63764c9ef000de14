//! Debian with PostgreSQL and Alembic: for a database in a pod, and for the commands that migrate it.

use std::fs;

use anyhow::Result;

use super::base;

const DOCKERFILE: &str = include_str!("database.Dockerfile");

/// A PostgreSQL server, its clients, and Alembic. `serve-database <password>` makes a database `shop` and serves it.
pub async fn database(registry: &str) -> Result<String> {
    const SCRIPT: &str = include_str!("serve-database.sh");
    let debian = base::debian(registry).await?;
    let dockerfile = format!("FROM {debian}\n{DOCKERFILE}");
    let tag = base::tag(&[dockerfile.as_bytes(), SCRIPT.as_bytes()]);
    super::ensure(registry, "testbed/database", &tag, &[], async |work| {
        fs::write(work.join("serve-database"), SCRIPT)?;
        fs::write(work.join("Dockerfile"), &dockerfile)?;
        Ok(work.to_owned())
    })
    .await
}

/// The same server as it is beside tests: started as the image `postgres` of Docker Hub is, by `POSTGRES_PASSWORD` alone.
pub async fn postgres(registry: &str) -> Result<String> {
    const SCRIPT: &str = include_str!("serve-postgres.sh");
    let dockerfile = format!(
        "FROM {}\nCOPY --chmod=755 serve-postgres /usr/local/bin/serve-postgres\nENTRYPOINT [\"serve-postgres\"]\n",
        database(registry).await?
    );
    let tag = base::tag(&[dockerfile.as_bytes(), SCRIPT.as_bytes()]);
    super::ensure(registry, "testbed/postgres", &tag, &[], async |work| {
        fs::write(work.join("serve-postgres"), SCRIPT)?;
        fs::write(work.join("Dockerfile"), &dockerfile)?;
        Ok(work.to_owned())
    })
    .await
}

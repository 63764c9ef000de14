RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql alembic python3-psycopg2 && \
    rm -rf /var/lib/apt/lists/* /var/lib/postgresql/*/main
COPY serve-database /usr/local/bin/serve-database
RUN chmod 755 /usr/local/bin/serve-database
EXPOSE 5432

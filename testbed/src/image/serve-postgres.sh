#!/bin/sh
# A PostgreSQL as that of Docker Hub: its user `postgres` has the password of POSTGRES_PASSWORD. What is in it goes with the pod.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
chown postgres /tmp/password
su postgres -c "$bin/initdb --pgdata=$data --auth-host=scram-sha-256 --auth-local=trust --pwfile=/tmp/password --no-sync" > /dev/null
rm /tmp/password
echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
exec su postgres -c "exec $bin/postgres -D $data -c listen_addresses=* -c fsync=off -c shared_buffers=16MB"

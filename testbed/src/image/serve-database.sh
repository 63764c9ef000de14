#!/bin/sh
# A PostgreSQL with a database `shop` of user `shop`, whose password is in PGPASSWORD. What is in it goes with the pod.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/shop
printf '%s' "$PGPASSWORD" > /tmp/password
chown postgres /tmp/password
su postgres -c "$bin/initdb --pgdata=$data --username=shop --auth=scram-sha-256 --pwfile=/tmp/password --no-sync" > /dev/null
rm /tmp/password
echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
# The database is there before anybody is let in.
echo 'CREATE DATABASE shop' | su postgres -c "$bin/postgres --single -D $data postgres" > /dev/null
exec su postgres -c "exec $bin/postgres -D $data -c listen_addresses=* -c fsync=off -c shared_buffers=16MB"

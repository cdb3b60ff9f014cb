#!/bin/sh
# Runs once, on an empty data folder: the product's login and its database. The login
# is no superuser, so row-level security binds it; the migrations make two roles.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$PRODUCT_PASSWORD" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE dtq LOGIN NOSUPERUSER CREATEDB CREATEROLE INHERIT NOBYPASSRLS
    PASSWORD :'password';
CREATE DATABASE dtq OWNER dtq;
SQL
